//! Wrapping and unwrapping of key slots.
//!
//! Spec: `format-spec/10-keys.md`.

use zeroize::Zeroizing;

use super::container_keys::commitment;
use super::kdf::{Key, derive};
use super::passphrase::derive_passphrase_key;
use super::seal::{Part, Sealer};
use crate::format::codec::{self, DecodeError};
use crate::format::container::TAG_LEN_BYTES;
use crate::format::slot::{Bundle, Slot, SlotInfo, SlotKdf};
use crate::id::{RepositoryId, SlotId};

/// The secret of a slot.
pub enum Secret {
    /// A passphrase, as typed.
    Passphrase(Zeroizing<String>),
    /// The 32 bytes of a key file or recovery kit.
    KeyFile(Key),
}

/// Inputs of the wrapping key of a new slot.
pub struct Wrapping<'a> {
    /// The secret that will open the slot.
    pub secret: &'a Secret,
    /// The derivation, which must be of the secret's kind.
    pub kdf: SlotKdf,
    /// Fresh randomness.
    pub salt: [u8; 32],
}

/// Seals and opens the information in key slots, which says who a slot is for.
pub struct SlotKeys {
    repository: RepositoryId,
    info: Key,
}

impl SlotKeys {
    pub(super) fn new(repository: RepositoryId, info: Key) -> Self {
        Self { repository, info }
    }

    /// Returns the repository that the keys belong to.
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// A key per slot: the ordinal of slot information is always 0.
    fn info_key(&self, salt: &[u8; 32]) -> Key {
        derive("slot info key", &[&*self.info, salt])
    }
}

/// Wraps `bundle`; fails if the secret is of another kind than the derivation.
pub fn wrap(
    keys: &SlotKeys,
    bundle: &Bundle,
    info: &SlotInfo,
    wrapping: &Wrapping<'_>,
) -> Result<Slot, DecodeError> {
    let Wrapping { secret, kdf, salt } = *wrapping;
    let key = wrapping_key(secret, &kdf, &salt, keys.repository)?
        .ok_or(DecodeError::new("key slot", "the secret is of another kind than the slot"))?;
    let mut slot = Slot {
        repository: keys.repository,
        kdf,
        salt,
        commitment: commitment(&key),
        sealed_bundle: Vec::new(),
        sealed_info: Vec::new(),
    };
    let seal = |key: &Key, part, associated_data: &[u8], plain: &[u8]| {
        let mut buffer = plain.to_vec();
        buffer.resize(plain.len() + TAG_LEN_BYTES, 0);
        Sealer::new(key, associated_data).seal(part, 0, &mut buffer);
        buffer
    };
    slot.sealed_bundle =
        seal(&key, Part::Bundle, &slot.associated_data(), &Zeroizing::new(codec::encode(bundle)));
    slot.sealed_info = seal(
        &keys.info_key(&salt),
        Part::SlotInfo,
        &slot.info_associated_data(),
        &codec::encode(info),
    );
    Ok(slot)
}

/// Opens a slot; `Ok(None)` means that the secret is not this slot's.
pub fn unwrap(slot: &Slot, secret: &Secret) -> Result<Option<Bundle>, DecodeError> {
    let Some(key) = wrapping_key(secret, &slot.kdf, &slot.salt, slot.repository)? else {
        return Ok(None);
    };
    // Compared before anything is opened: the cipher alone does not commit to its key.
    if !bool::from(subtle::ConstantTimeEq::ct_eq(&commitment(&key)[..], &slot.commitment[..])) {
        return Ok(None);
    }
    let mut sealed = Zeroizing::new(slot.sealed_bundle.clone());
    let plain = Sealer::new(&key, &slot.associated_data())
        .open(Part::Bundle, 0, &mut sealed)
        .map_err(|_| DecodeError::new("key slot", "damaged: its seal does not hold"))?;
    codec::decode("key bundle", plain).map(Some)
}

/// Opens the information that `key list` shows.
///
/// Fails if the slot was not made by a holder of the repository's keys, or was changed in any part
/// since. So slots can be checked without their secrets.
pub fn open_info(keys: &SlotKeys, slot: &Slot) -> Result<SlotInfo, DecodeError> {
    let mut sealed = slot.sealed_info.clone();
    let plain = Sealer::new(&keys.info_key(&slot.salt), &slot.info_associated_data())
        .open(Part::SlotInfo, 0, &mut sealed)
        .map_err(|_| {
            DecodeError::new("key slot", "its information is damaged or not from this repository")
        })?;
    codec::decode("slot information", plain)
}

/// Returns the name of a slot.
pub fn slot_id(slot: &Slot) -> SlotId {
    let name = derive("slot id", &[&slot.repository.0, &slot.salt, &slot.commitment]);
    SlotId(name[..16].try_into().expect("16 bytes"))
}

fn wrapping_key(
    secret: &Secret,
    kdf: &SlotKdf,
    salt: &[u8; 32],
    repository: RepositoryId,
) -> Result<Option<Key>, DecodeError> {
    match (secret, *kdf) {
        (Secret::Passphrase(text), SlotKdf::Passphrase { memory_kib, passes, lanes }) => {
            derive_passphrase_key(text.as_bytes(), salt, memory_kib, passes, lanes).map(Some)
        }
        (Secret::KeyFile(secret), SlotKdf::KeyFile) => {
            Ok(Some(derive("key file", &[&**secret, salt, &repository.0])))
        }
        _ => Ok(None),
    }
}
