//! Intent: what a running backup relies on.
//!
//! Spec: `format-spec/13-commit.md`, section 2.1.

use bincode::{Decode, Encode};

use super::codec::{self, DecodeError};
use super::entry::{Extension, Timestamp, are_readable};
use super::limits;
use crate::id::{ChunkId, ObjectId, SnapshotId};

/// One intent of a session.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Intent {
    /// The session: the id of the snapshot that it will commit.
    pub session: SnapshotId,
    /// Counts the session's intents from 0.
    pub number: u64,
    /// Time by the writer's clock.
    pub created: Timestamp,
    /// Host name.
    pub host: String,
    /// The highest generation that the session has respected.
    pub generation: u64,
    /// The tree that will be committed; `None` in a checkpoint.
    pub root: Option<ChunkId>,
    /// The parent, if the session relies on it.
    pub parent: Option<SnapshotId>,
    /// Packs that it relies on, ascending.
    pub packs: Vec<ObjectId>,
    /// Extensions, sorted by tag.
    pub extensions: Vec<Extension>,
}

impl Intent {
    /// Returns the intent's bytes.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Parses an intent and checks order and number of its packs.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let refuse = |why| Err(DecodeError::new("intent", why));
        let intent: Self = codec::decode("intent", bytes)?;
        if intent.packs.len() > limits::RECORD_PACKS_MAX {
            return refuse("too many packs");
        }
        if !intent.packs.is_sorted_by(|a, b| a < b) {
            return refuse("packs are not sorted");
        }
        if intent.created.nanos > 999_999_999 {
            return refuse("nanoseconds out of range");
        }
        if !are_readable(&intent.extensions) {
            return refuse("extensions critical or not sorted");
        }
        Ok(intent)
    }
}
