//! Fetch of index runs, as a whole or their tails only.

use std::sync::{Arc, Mutex};

use super::run::{ListedRun, Run, TAILS, WHOLE};
use super::tail;
use crate::container::name_of;
use crate::crypto::container_keys::RecordKeys;
use crate::id::ObjectId;
use crate::repo::cache::{Cache, LocalCopy};
use crate::repo::error::{Error, Result};
use crate::repo::objects::sized_read::read_exactly;
use crate::repo::open::Repository;
use crate::store::Store;

/// What a set needs to read more of runs of which it has only the tails.
pub(super) struct PartialFetch {
    /// The repository with the runs.
    pub repository: Arc<Repository>,
    /// Held while a whole run is fetched, so that no other thread fetches it, too.
    pub fetching: Mutex<()>,
}

impl PartialFetch {
    /// Lets a set fetch only the tails of long runs in a remote store.
    pub(super) fn new(repository: &Arc<Repository>) -> Self {
        Self { repository: repository.clone(), fetching: Mutex::default() }
    }
}

/// A block in the store that may hold the record of a chunk.
pub(super) struct RemoteBlock {
    /// The block's run.
    pub run: Arc<Run>,
    /// The block's position in the run.
    pub block: usize,
    /// The number of the run's first record.
    pub first_number: u64,
}

/// Longest run in bytes that is read before any part of it is authenticated: collectors write none
/// that is longer.
const UNSEEN_MAX_BYTES: u64 = 32 << 20;

/// Reads a whole run from the store and checks it against its name.
///
/// Header and trailer of a very long run are verified first, so that an object that no holder of
/// the keys made costs no memory.
pub(super) fn fetch_verified(
    store: &dyn Store,
    keys: &RecordKeys,
    run: &ListedRun,
) -> Result<Vec<u8>> {
    let ListedRun { name, key, len_bytes } = run;
    if *len_bytes > UNSEEN_MAX_BYTES {
        tail::verify(store, keys, key, *len_bytes)?;
    }
    let bytes = read_exactly(store, key, *len_bytes)?;
    if name_of(&bytes) == *name {
        Ok(bytes)
    } else {
        Err(Error::WrongContent { object: key.to_string() })
    }
}

/// Writes a copy of a whole run to the cache, removes the copy of its tail, and opens the run.
pub(super) fn keep_whole(
    cache: &Cache,
    keys: &RecordKeys,
    name: ObjectId,
    bytes: &[u8],
) -> Result<Run> {
    cache.write(WHOLE, &name.to_hex(), bytes)?;
    cache.remove(TAILS, &name.to_hex());
    Run::open(cache, keys, name)
}

/// Fetches the tail of a run, writes it to the cache and opens it; tries again once if it came
/// damaged.
pub(super) fn fetch_and_open(
    store: &dyn Store,
    cache: &Cache,
    keys: &RecordKeys,
    run: &ListedRun,
) -> Result<Run> {
    let name = run.name.to_hex();
    let fetch = || {
        let bytes = tail::fetch(store, keys, &run.key, run.len_bytes)?;
        cache.write(TAILS, &name, &bytes)?;
        // Another process that has the whole run, or a user, may have removed the copy already.
        let copy = cache.open_copy(TAILS, &name).unwrap_or_else(|_| LocalCopy::Bytes(bytes.into()));
        Run::open_tail(keys, copy, run)
    };
    match fetch() {
        Err(error) if error.is_damage() && !error.is_not_found() => fetch(),
        fetched => fetched,
    }
}
