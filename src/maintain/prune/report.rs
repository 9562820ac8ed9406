//! Report of a prune.

use super::plan::PrunePlan;
use crate::format::entry::Timestamp;
use crate::id::SnapshotId;
use crate::repo::gc::object_locks::LockReport;

/// Report of a prune.
#[derive(Clone, Debug, Default)]
pub struct PruneReport {
    /// Finished generations that it opened or joined.
    pub generations: Vec<u64>,
    /// Removed packs.
    pub removed_packs: u64,
    /// Bytes of removed packs.
    pub removed_bytes: u64,
    /// Bytes of packs that were stored in their place.
    pub stored_bytes: u64,
    /// Bytes of removed index runs.
    pub removed_run_bytes: u64,
    /// Bytes of stored index runs.
    pub stored_run_bytes: u64,
    /// Snapshots that were dropped for good.
    pub dropped: Vec<SnapshotId>,
    /// Condemned packs that were spared because they are needed.
    pub spared_packs: u64,
    /// Snapshots in the trash, and the earliest time at which they are dropped.
    pub waiting: Vec<(SnapshotId, Timestamp)>,
    /// Snapshots that stay in the trash because they are protected.
    pub guarded: Vec<SnapshotId>,
    /// Remaining index runs, if the index was read.
    pub index_runs: u64,
    /// Sessions that may be running.
    pub running_sessions: u64,
    /// The remaining steps: the whole plan after a dry run, else the part that this prune left.
    pub remaining: PrunePlan,
    /// Whether another prune was quicker in each round, so that this one stopped.
    pub outrun: bool,
    /// Removed packs whose bytes the store keeps until their locks end.
    pub locked_packs: u64,
    /// When the last of these locks ends, in seconds since 1970.
    pub locked_until_s: Option<i64>,
    /// Report of the extended locks, if that was requested.
    pub locks: Option<LockReport>,
}

impl PruneReport {
    /// Returns the bytes of packs and index runs by which the repository shrank.
    pub fn freed_bytes(&self) -> u64 {
        (self.removed_bytes + self.removed_run_bytes)
            .saturating_sub(self.stored_bytes + self.stored_run_bytes)
    }
}
