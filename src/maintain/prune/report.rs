//! What a collector did: a value that is printed.

use super::plan::PrunePlan;
use crate::format::entry::Timestamp;
use crate::id::SnapshotId;
use crate::repo::gc::object_locks::LockReport;

/// What a collector did.
#[derive(Clone, Debug, Default)]
pub struct PruneReport {
    /// Generations that it opened or took part in and that are finished now.
    pub generations: Vec<u64>,
    /// Packs that were removed, and their bytes.
    pub removed_packs: u64,
    /// Bytes of them.
    pub removed_bytes: u64,
    /// Bytes of packs that were stored for it.
    pub stored_bytes: u64,
    /// Bytes of index runs that were removed.
    pub removed_run_bytes: u64,
    /// Bytes of index runs that were stored.
    pub stored_run_bytes: u64,
    /// Snapshots that were dropped for good.
    pub dropped: Vec<SnapshotId>,
    /// Condemned packs that turned out to be needed.
    pub spared_packs: u64,
    /// Snapshots in the trash, and when they are dropped at the earliest.
    pub waiting: Vec<(SnapshotId, Timestamp)>,
    /// Snapshots that stay in the trash because they are protected.
    pub guarded: Vec<SnapshotId>,
    /// Index runs that are left, if the index was looked at.
    pub index_runs: u64,
    /// Sessions that seem to be running.
    pub running_sessions: u64,
    /// The last plan: what a dry run would do, or what is left.
    pub remaining: PrunePlan,
    /// Whether another collector was quicker each time, so that this one stopped.
    pub outrun: bool,
    /// Removed packs whose bytes the store keeps until their locks end.
    pub locked_packs: u64,
    /// When the last of these locks ends, in seconds since 1970.
    pub locked_until_s: Option<i64>,
    /// What extending the locks of the rest came to, if that was wanted.
    pub locks: Option<LockReport>,
}

impl PruneReport {
    /// Returns the bytes of packs and runs by which the repository is smaller.
    pub fn freed_bytes(&self) -> u64 {
        (self.removed_bytes + self.removed_run_bytes)
            .saturating_sub(self.stored_bytes + self.stored_run_bytes)
    }
}
