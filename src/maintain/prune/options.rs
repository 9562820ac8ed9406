//! What a collector may do, and its usual limits.

use crate::compress::Compression;
use crate::format::entry::Timestamp;
use crate::repo::snapshots::trash::TRASH_WINDOW_S;

/// Who makes sure that no two collectors contradict each other, and that no session commits which
/// was taken for dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// The store: it creates exclusively, as [`crate::repo::open::probe::is_exclusive`] found.
    Store,
    /// The user, who says that no other collector runs: no session expires, and records are read
    /// back before anything is removed.
    User,
}

/// What a collector may do.
#[derive(Clone, Copy, Debug)]
pub struct PruneOptions {
    /// Why this collector cannot meet another one unawares.
    pub exclusion: Exclusion,
    /// How long forgotten snapshots can be brought back, in seconds.
    pub trash_window_s: i64,
    /// Unused bytes that may stay in packs that are needed, in 1/1000 of the bytes that are used.
    pub max_unused_permille: u32,
    /// Most bytes of packs that are rewritten.
    pub max_repack_bytes: u64,
    /// Packs with file content that are younger are not rewritten, in seconds: some storage classes
    /// bill a least duration.
    pub min_age_s: i64,
    /// Packs that no finished session names are left alone while they are younger, in seconds.
    pub grace_s: i64,
    /// Sessions whose newest intent is older are taken for dead, in seconds.
    pub intent_max_age_s: i64,
    /// For how many seconds from now on what is needed is to be locked; `None` extends no locks.
    pub lock_span_s: Option<i64>,
    /// Plans, and changes nothing.
    pub dry_run: bool,
    /// Threads that mark and compress (at least 1).
    pub threads: usize,
    /// Smaller packs and fewer buffers when rewriting.
    pub low_memory: bool,
    /// How hard rewritten chunks are compressed.
    pub compression: Compression,
    /// The time now.
    pub now: Timestamp,
}

impl PruneOptions {
    /// Returns the usual options, for a store that creates exclusively.
    pub fn new(now: Timestamp) -> Self {
        Self {
            exclusion: Exclusion::Store,
            trash_window_s: TRASH_WINDOW_S,
            max_unused_permille: 50,
            max_repack_bytes: u64::MAX,
            min_age_s: 0,
            grace_s: 24 * 3600,
            intent_max_age_s: 14 * 24 * 3600,
            lock_span_s: None,
            dry_run: false,
            threads: 1,
            low_memory: false,
            compression: Compression::DEFAULT,
            now,
        }
    }
}
