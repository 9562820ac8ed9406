//! Drafts: packs and runs in the local cache that a repair has made but not stored yet.

use std::fs::File;

use rustix::fs::FlockOperation;

use crate::repo::index::{DRAFTS, FILTERS};
use crate::repo::open::Repository;

/// Lock that prevents other repairs on this machine from removing the drafts as leftovers.
pub struct Drafting {
    _lock: Option<File>,
}

/// Begins to make drafts; first removes those of killed repairs, unless another repair is at work.
///
/// Nothing else removes them, and they are as large as the repaired packs. If the directory cannot
/// be locked, they stay.
pub fn begin(repository: &Repository) -> Drafting {
    let cache = repository.cache();
    let lock = cache.directory_file();
    if lock.as_ref().is_some_and(|lock| {
        rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive).is_ok()
    }) {
        for name in cache.names(DRAFTS) {
            [DRAFTS, FILTERS].into_iter().for_each(|group| cache.remove(group, &name));
        }
    }
    // This waits only for a repair that is removing leftovers.
    Drafting {
        _lock: lock.filter(|lock| rustix::fs::flock(lock, FlockOperation::LockShared).is_ok()),
    }
}
