//! What repairs have made and not stored yet, in the local cache: whose it is, and what killed ones
//! left there.

use std::fs::File;

use rustix::fs::FlockOperation;

use crate::repo::index::{DRAFTS, FILTERS};
use crate::repo::open::Repository;

/// As long as it lives no other repair of this machine takes the drafts for leftovers.
pub struct Drafting {
    _lock: Option<File>,
}

/// Begins to make drafts: those of repairs that were killed are removed first, unless another one
/// is at work now.
///
/// Nothing else removes them, and they are as large as what was repaired. Where the folder cannot
/// be locked they stay.
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
    // Waits only for one that removes leftovers just now.
    Drafting {
        _lock: lock.filter(|lock| rustix::fs::flock(lock, FlockOperation::LockShared).is_ok()),
    }
}
