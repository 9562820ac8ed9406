//! Records of collectors.
//!
//! Spec: `format-spec/13-commit.md`, section 2.2.

use bincode::{Decode, Encode};

use super::codec::{self, DecodeError};
use super::entry::Timestamp;
use super::limits;
use super::run::PackClass;
use crate::id::{ObjectId, SnapshotId};

/// A pack to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Victim {
    /// Its class.
    pub class: PackClass,
    /// Its name.
    pub name: ObjectId,
}

/// What a generation removes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Removal {
    /// Packs, ascending.
    pub packs: Vec<Victim>,
    /// Forgotten snapshots that are roots no longer, ascending.
    pub snapshots: Vec<SnapshotId>,
}

impl Removal {
    /// Returns whether `other` removes all that this removes.
    pub fn is_within(&self, other: &Self) -> bool {
        self.packs.iter().all(|victim| other.packs.binary_search(victim).is_ok())
            && self.snapshots.iter().all(|id| other.snapshots.binary_search(id).is_ok())
    }

    /// Returns whether it removes nothing.
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.snapshots.is_empty()
    }
}

/// Content of the first record of a generation, which opens it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Condemned {
    /// Records of generations below this may have been trimmed.
    pub oldest: u64,
    /// What the collector wants to remove.
    pub removal: Removal,
}

/// Content of the last record of a generation, which ends it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Done {
    /// Runs that name no pack which this generation or an earlier one removed.
    pub runs: Vec<ObjectId>,
}

/// The content of a collector's record; it must match the word in the object's name.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum RecordContent {
    /// Opens a generation.
    Condemned(Condemned),
    /// The verdict to remove exactly this.
    Go(Removal),
    /// The verdict to remove nothing.
    Cancel,
    /// The removal is finished.
    Done(Done),
}

impl RecordContent {
    /// Returns the word after the number in the name of such a record.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Condemned(_) => "condemned",
            Self::Go(_) | Self::Cancel => "verdict",
            Self::Done(_) => "done",
        }
    }
}

/// A record of a collector.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CollectorRecord {
    /// The generation.
    pub number: u64,
    /// Time by the collector's clock.
    pub created: Timestamp,
    /// Its content.
    pub content: RecordContent,
}

impl CollectorRecord {
    /// Returns the record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Parses a record and checks its lists.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let refuse = |why| Err(DecodeError::new("collector's record", why));
        let record: Self = codec::decode("collector's record", bytes)?;
        if record.number == 0 || record.created.nanos > 999_999_999 {
            return refuse("number 0, or nanoseconds out of range");
        }
        if record.number > limits::GENERATION_MAX {
            return refuse("a number above the limit");
        }
        let removal = match &record.content {
            RecordContent::Condemned(condemned) if condemned.oldest > record.number => {
                return refuse("older than itself");
            }
            RecordContent::Condemned(condemned) => &condemned.removal,
            RecordContent::Go(removal) => removal,
            RecordContent::Cancel | RecordContent::Done(_) => return Ok(record),
        };
        if removal.packs.len() > limits::RECORD_PACKS_MAX
            || removal.snapshots.len() > limits::RECORD_SNAPSHOTS_MAX
        {
            return refuse("too many packs or snapshots");
        }
        if !removal.packs.is_sorted_by(|a, b| a < b)
            || !removal.snapshots.is_sorted_by(|a, b| a < b)
        {
            return refuse("packs or snapshots are not sorted");
        }
        Ok(record)
    }
}
