//! What a check found.

use std::collections::BTreeSet;

use super::level::Level;
use crate::format::entry::Timestamp;
use crate::id::SnapshotId;

/// Problems and affected paths that are kept in words, and bytes of those paths; the rest are only
/// counted.
pub const KEPT_MAX: usize = 50_000;
const KEPT_MAX_BYTES: usize = 32 << 20;

/// Something stored that is damaged or missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckProblem {
    /// The object, or the chunk.
    pub object: String,
    /// Which structure it is and what is wrong with it.
    pub message: String,
}

/// A path of a snapshot that cannot be restored, or not wholly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffectedPath {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Raw bytes of the path; `/` for everything.
    pub path: Vec<u8>,
    /// Whether it is a folder of which some entries (or all) are lost with all that is below them.
    pub is_folder: bool,
}

/// A list that stops growing at [`KEPT_MAX`] but goes on counting.
#[derive(Clone, Debug)]
pub struct CappedList<T> {
    /// The first of them.
    pub items: Vec<T>,
    /// How many there are.
    pub count: u64,
    len_bytes: usize,
}

impl<T> Default for CappedList<T> {
    fn default() -> Self {
        Self { items: Vec::new(), count: 0, len_bytes: 0 }
    }
}

impl<T> CappedList<T> {
    /// Adds one.
    pub fn push(&mut self, item: T) {
        self.push_long(item, 0);
    }

    /// Adds one that takes so many bytes.
    fn push_long(&mut self, item: T, len_bytes: usize) {
        self.count += 1;
        if self.items.len() < KEPT_MAX && self.len_bytes + len_bytes <= KEPT_MAX_BYTES {
            self.len_bytes += len_bytes;
            self.items.push(item);
        }
    }

    /// Takes those out that `is_out` says, of the ones that are kept.
    pub fn take_out(&mut self, is_out: impl Fn(&T) -> bool) {
        let before = self.items.len();
        self.items.retain(|item| !is_out(item));
        self.count -= (before - self.items.len()) as u64;
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckCounts {
    /// Configs and key slots.
    pub configs_and_keys: u64,
    /// Intents of backups and records of collectors.
    pub intents_and_records: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Those of them that are in the trash.
    pub forgotten: u64,
    /// Index runs.
    pub index_runs: u64,
    /// Chunks that the index names.
    pub chunks_indexed: u64,
    /// Packs that the index names.
    pub packs: u64,
    /// Their bytes.
    pub pack_bytes: u64,
    /// Packs that were read and verified whole.
    pub packs_verified: u64,
    /// Their bytes.
    pub bytes_verified: u64,
    /// Tree and list nodes that were read from the snapshots' trees.
    pub nodes: u64,
    /// Chunks of file content that the snapshots refer to.
    pub chunks_referenced: u64,
    /// Packs that no index run names: a backup is running, or one was interrupted.
    pub packs_unindexed: u64,
}

/// What earlier checks and this one have verified of the data packs that are there now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Bytes of packs that were ever verified whole.
    pub bytes_ever: u64,
    /// Bytes of all packs.
    pub bytes: u64,
    /// When the pack was verified whose verification is oldest; `None` while any was never
    /// verified.
    pub oldest: Option<Timestamp>,
}

/// The outcome of a check.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// How thorough it was.
    pub level: Level,
    /// What was looked at.
    pub counts: CheckCounts,
    /// What is damaged or missing. The repository is sound (as far as was looked) if this is empty.
    pub problems: CappedList<CheckProblem>,
    /// Paths that are lost, or not whole, because of that.
    pub affected: CappedList<AffectedPath>,
    /// All snapshots that have such paths, also those whose paths are only counted.
    pub incomplete: BTreeSet<SnapshotId>,
    /// Whether something is gone that this machine has seen, and nobody forgot.
    pub went_back: bool,
    /// Things worth knowing that are no damage.
    pub notices: Vec<String>,
    /// What has been verified over time, by this machine.
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
