//! Options of a prune, and their defaults.

use crate::compress::Compression;
use crate::format::entry::Timestamp;
use crate::repo::snapshots::trash::TRASH_WINDOW_S;

/// Guarantor that two prunes do not contradict each other, and that a session that was declared
/// dead cannot commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// The store: it creates exclusively, as [`crate::repo::open::probe::is_exclusive`] found.
    Store,
    /// The user, who states that no other prune runs: no session expires, and records are read back
    /// before anything is removed.
    User,
}

/// Options of a prune.
#[derive(Clone, Copy, Debug)]
pub struct PruneOptions {
    /// Protection of this prune against another one.
    pub exclusion: Exclusion,
    /// Seconds for which forgotten snapshots can be restored from the trash.
    pub trash_window_s: i64,
    /// Tolerated unused bytes in needed packs, in 1/1000 of the used bytes.
    pub max_unused_permille: u32,
    /// Most bytes of packs to rewrite.
    pub max_repack_bytes: u64,
    /// Minimum age in seconds of data packs to rewrite: some storage classes bill a minimum
    /// duration.
    pub min_age_s: i64,
    /// Minimum age in seconds at which a pack that no finished session names may be removed.
    pub grace_s: i64,
    /// Age in seconds of its newest intent at which a session is declared dead.
    pub intent_max_age_s: i64,
    /// Seconds from now for which needed objects are locked; `None` extends no locks.
    pub lock_span_s: Option<i64>,
    /// Only plans, and changes nothing.
    pub dry_run: bool,
    /// Threads that mark and compress (at least 1).
    pub threads: usize,
    /// Uses smaller packs and fewer buffers for rewriting.
    pub low_memory: bool,
    /// Compression of rewritten chunks.
    pub compression: Compression,
    /// The time now.
    pub now: Timestamp,
}

impl PruneOptions {
    /// Returns the default options, for a store that creates exclusively.
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
