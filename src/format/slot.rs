//! Key slot: a bundle of keys that is wrapped under a passphrase or a key file.
//!
//! Spec: `format-spec/10-keys.md`.

use bincode::{Decode, Encode};
use zeroize::Zeroize;

use super::codec::{self, DecodeError};
use super::entry::Timestamp;
use super::limits;
use crate::id::RepositoryId;

/// First bytes of every key slot.
pub const SLOT_MAGIC: [u8; 8] = [0x93, b'D', b'K', b'E', b'Y', 0x0d, 0x0a, 0x1a];

/// Derivation of the wrapping key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum SlotKdf {
    /// Argon2id over a passphrase.
    Passphrase {
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// A key derivation over the 32 random bytes of a key file.
    KeyFile,
}

impl SlotKdf {
    /// Refuses parameters that would let a hostile slot exhaust the machine.
    pub fn check(&self) -> Result<(), DecodeError> {
        match *self {
            Self::Passphrase { memory_kib, passes, lanes } => {
                // Argon2 itself needs 8 KiB for each lane.
                let fits = (1..=16).contains(&lanes)
                    && (1..=64).contains(&passes)
                    && (8 * lanes..=4 << 20).contains(&memory_kib);
                if fits {
                    Ok(())
                } else {
                    Err(DecodeError::new("key slot", "key derivation parameters out of range"))
                }
            }
            Self::KeyFile => Ok(()),
        }
    }
}

impl SlotKdf {
    /// Returns the work of trying a secret, in KiB of memory times passes.
    pub fn cost(&self) -> u64 {
        match *self {
            Self::Passphrase { memory_kib, passes, .. } => {
                u64::from(memory_kib) * u64::from(passes)
            }
            Self::KeyFile => 0,
        }
    }
}

/// The content of `keys/<id>` after its magic and version.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Slot {
    /// The repository it opens.
    pub repository: RepositoryId,
    /// Derivation of the wrapping key.
    pub kdf: SlotKdf,
    /// Salt of the derivation.
    pub salt: [u8; 32],
    /// Commits to the wrapping key; compared before anything is opened.
    pub commitment: [u8; 32],
    /// The sealed [`Bundle`] with its tag.
    pub sealed_bundle: Vec<u8>,
    /// The sealed [`SlotInfo`] with its tag, readable with any key of the repository.
    pub sealed_info: Vec<u8>,
}

impl Slot {
    /// Returns the slot's file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = SLOT_MAGIC.to_vec();
        out.extend([super::container::MAJOR, super::container::MINOR]);
        out.extend(codec::encode(self));
        out
    }

    /// Parses a slot's file and checks its parameters.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let refuse = |why| DecodeError::new("key slot", why);
        if bytes.len() > limits::SLOT_LEN_MAX_BYTES {
            return Err(refuse("longer than the limit"));
        }
        let rest = bytes.strip_prefix(&SLOT_MAGIC).ok_or(refuse("not a Drumlin key slot"))?;
        let (version, rest) = rest.split_at_checked(2).ok_or(refuse("too short"))?;
        if version != [super::container::MAJOR, super::container::MINOR] {
            return Err(DecodeError::another_version("key slot"));
        }
        let slot: Self = codec::decode("key slot", rest)?;
        slot.kdf.check()?;
        Ok(slot)
    }

    /// Returns the bytes that are authenticated with the sealed bundle.
    pub fn associated_data(&self) -> Vec<u8> {
        codec::encode(&(self.repository, self.kdf, self.salt, self.commitment))
    }

    /// Returns the bytes that are authenticated with the sealed information: those, and the sealed
    /// bundle.
    pub fn info_associated_data(&self) -> Vec<u8> {
        [&self.associated_data()[..], &self.sealed_bundle].concat()
    }
}

/// The keys in a slot. Other capabilities than `Full` are reserved.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub enum Bundle {
    /// Everything: the master key of the repository and the signing seed.
    Full {
        /// 32 random bytes, never used directly.
        master: [u8; 32],
    },
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let Self::Full { master } = self;
        master.zeroize();
    }
}

/// The part of a slot that `key list` shows.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SlotInfo {
    /// A name that its owner chose.
    pub label: String,
    /// Time of its creation.
    pub created: Timestamp,
}
