//! Tombstone: the signed mark of a forgotten snapshot, with author and time.
//!
//! Spec: `format-spec/08-snapshots.md`, section 5.

use bincode::{Decode, Encode};

use super::codec::{self, DecodeError};
use super::entry::{Extension, Timestamp, are_readable};
use super::limits;
use crate::id::{RepositoryId, SnapshotId};

/// A forgotten snapshot's mark in its signed form.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Tombstone {
    /// The snapshot that is forgotten.
    pub snapshot: SnapshotId,
    /// The repository that it belongs to.
    pub repository: RepositoryId,
    /// BLAKE3 of the snapshot's signed bytes, which explains the gap in its host's chain; none if
    /// it could not be read.
    pub hash: Option<[u8; 32]>,
    /// Name of the host on which it was forgotten.
    pub host: String,
    /// Name of the user who did it.
    pub user: String,
    /// Program and version.
    pub program: String,
    /// Time, not before the newest time of the store.
    pub forgotten: Timestamp,
    /// Reason for people to read.
    pub reason: String,
    /// Extensions, sorted by tag.
    pub extensions: Vec<Extension>,
    /// Ed25519 key of the writer of the tombstone.
    pub writer: [u8; 32],
}

/// The content of `snapshots/<sid>.forgotten`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TombstoneSlot {
    /// The encoded [`Tombstone`].
    pub signed: Vec<u8>,
    /// Ed25519 over `"drumlin tombstone" ‖ signed`.
    pub signature: [u8; 64],
}

impl Tombstone {
    /// Returns the bytes that are signed.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Parses the signed bytes; the signature is checked by the caller.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let refuse = |why| Err(DecodeError::new("tombstone", why));
        if bytes.len() > limits::TOMBSTONE_LEN_MAX_BYTES {
            return refuse("longer than the limit");
        }
        let tombstone: Self = codec::decode("tombstone", bytes)?;
        if !are_readable(&tombstone.extensions) {
            return refuse("extensions critical or not sorted");
        }
        if tombstone.forgotten.nanos > 999_999_999 {
            return refuse("nanoseconds out of range");
        }
        Ok(tombstone)
    }
}
