//! Report of a check.

use std::collections::BTreeSet;

use super::level::Level;
use crate::format::entry::Timestamp;
use crate::id::SnapshotId;

/// Most problems and affected paths that are listed, and most bytes of those paths; the rest are
/// only counted.
pub const KEPT_MAX: usize = 50_000;
const KEPT_MAX_BYTES: usize = 32 << 20;

/// A stored object that is damaged or missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckProblem {
    /// The object, or the chunk.
    pub object: String,
    /// The damaged structure, and the damage.
    pub message: String,
}

/// A path of a snapshot that cannot be restored completely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffectedPath {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Raw bytes of the path; `/` for the whole snapshot.
    pub path: Vec<u8>,
    /// Whether it is a directory that has lost some or all entries, with everything below them.
    pub is_dir: bool,
}

/// A list that holds at most [`KEPT_MAX`] items and counts all.
#[derive(Clone, Debug)]
pub struct CappedList<T> {
    /// The first items.
    pub items: Vec<T>,
    /// The number of all items.
    pub count: u64,
    len_bytes: usize,
}

impl<T> Default for CappedList<T> {
    fn default() -> Self {
        Self { items: Vec::new(), count: 0, len_bytes: 0 }
    }
}

impl<T> CappedList<T> {
    /// Adds an item.
    pub fn push(&mut self, item: T) {
        self.push_long(item, 0);
    }

    /// Adds an item of this length.
    fn push_long(&mut self, item: T, len_bytes: usize) {
        self.count += 1;
        if self.items.len() < KEPT_MAX && self.len_bytes + len_bytes <= KEPT_MAX_BYTES {
            self.len_bytes += len_bytes;
            self.items.push(item);
        }
    }

    /// Removes the listed items for which `is_out` is true.
    pub fn take_out(&mut self, is_out: impl Fn(&T) -> bool) {
        let before = self.items.len();
        self.items.retain(|item| !is_out(item));
        self.count -= (before - self.items.len()) as u64;
    }

    /// Returns whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Counts of examined objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckCounts {
    /// Configs and key slots.
    pub configs_and_keys: u64,
    /// Intents of backups, and collector records.
    pub intents_and_records: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Snapshots among them that are in the trash.
    pub forgotten: u64,
    /// Index runs.
    pub index_runs: u64,
    /// Chunks that the index names.
    pub chunks_indexed: u64,
    /// Packs that the index names.
    pub packs: u64,
    /// Their bytes.
    pub pack_bytes: u64,
    /// Packs that were verified completely.
    pub packs_verified: u64,
    /// Their bytes.
    pub bytes_verified: u64,
    /// Tree and list nodes that were read.
    pub nodes: u64,
    /// Chunks of file content that the snapshots refer to.
    pub chunks_referenced: u64,
    /// Packs that no index run names, because a backup is running or was interrupted.
    pub packs_unindexed: u64,
}

/// Verification of the existing data packs by this check and earlier ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Bytes of packs that were ever verified completely.
    pub bytes_ever: u64,
    /// Bytes of all packs.
    pub bytes: u64,
    /// The oldest last verification of any pack; `None` if a pack was never verified.
    pub oldest: Option<Timestamp>,
}

/// The outcome of a check.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// Its level.
    pub level: Level,
    /// Counts of examined objects.
    pub counts: CheckCounts,
    /// Damaged or missing objects. If there are none, the repository is sound as far as it was
    /// examined.
    pub problems: CappedList<CheckProblem>,
    /// Paths that are lost or incomplete because of that.
    pub affected: CappedList<AffectedPath>,
    /// All snapshots with such paths, including those whose paths are only counted.
    pub incomplete: BTreeSet<SnapshotId>,
    /// Whether a snapshot that this machine has seen is missing and was not forgotten (a rollback).
    pub went_back: bool,
    /// Number of the problems that say so; the others are damage.
    pub gone_back: u64,
    /// Remarks about things that are no damage.
    pub notices: Vec<String>,
    /// Data packs that this machine has verified over time.
    pub coverage: Coverage,
}

impl CheckReport {
    pub(in crate::maintain) fn new(level: Level) -> Self {
        Self {
            level,
            counts: CheckCounts::default(),
            problems: CappedList::default(),
            affected: CappedList::default(),
            incomplete: BTreeSet::new(),
            went_back: false,
            gone_back: 0,
            notices: Vec::new(),
            coverage: Coverage::default(),
        }
    }

    /// Returns whether nothing is damaged or missing.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty() && self.affected.is_empty()
    }

    pub(super) fn add_affected(&mut self, path: AffectedPath) {
        let len_bytes = path.path.len();
        self.affected.push_long(path, len_bytes);
    }

    pub(super) fn problem(&mut self, object: impl Into<String>, message: impl Into<String>) {
        self.problems.push(CheckProblem { object: object.into(), message: message.into() });
    }
}
