//! Prefetch for read-only commands, while the repository is still being opened: the listings of
//! snapshots and index runs and, if this machine has no cache of the repository, the snapshots
//! themselves and the tails of the runs.
//!
//! Each answer is used once, for the first request: a later request asks about a later state. A
//! prefetch that failed is ignored, and the request is sent again.
//!
//! Spec: `format-spec/12-store.md`, section 2.

use std::iter;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crate::repo::cache::locations;
use crate::repo::index::tail;
use crate::repo::objects::parallel;
use crate::store::layers;
use crate::store::{Class, Key, Listed, Store, StoreError};
use crate::sync::lock;

/// Most bytes of a class that are prefetched; they stay in memory until they are read, which may be
/// never.
const FETCHED_MAX_BYTES: u64 = 8 << 20;
/// Most objects of a class that are prefetched.
const FETCHED_MAX: usize = 64;

/// Wraps a remote store so that the first listings come sooner; returns any other store as it is.
///
/// Only for commands that read: the answers describe the store at the time of this call.
pub fn prefetch_listings(store: Arc<dyn Store>, cache_dir: &Path) -> Arc<dyn Store> {
    if !store.properties().is_remote() {
        return store;
    }
    let fetches = locations::known_at(cache_dir, store.place()).is_none();
    let pending = [Class::Snapshots, Class::Index].map(|class| {
        let store = store.clone();
        let ask = move || fetch(&*store, class, fetches).ok();
        (class, Mutex::new(thread::Builder::new().name("ahead".to_owned()).spawn(ask).ok()))
    });
    Arc::new(PrefetchStore { inner: store, pending, ranges: Mutex::default() })
}

/// The listing of a class, and the ranges that were read ahead.
struct ClassPrefetch {
    listed: Vec<Listed>,
    ranges: Vec<PrefetchedRange>,
}

/// A range of an object that was read ahead.
struct PrefetchedRange {
    key: Key,
    range: Range<u64>,
    is_whole: bool,
    bytes: Vec<u8>,
}

/// Lists a class and, if `fetches` is true, reads what read-only commands need of its objects.
fn fetch(store: &dyn Store, class: Class, fetches: bool) -> Result<ClassPrefetch, StoreError> {
    let listed = store.list(class, "")?;
    let wanted = if fetches { wanted(class, &listed) } else { Vec::new() };
    let read = parallel::for_each(store, &wanted, |(object, range)| {
        read(store, Key::new(class, object.name.clone()), object, range)
    });
    // Objects that have gone since are not needed; those that cannot be read are requested again.
    let ranges = read.into_iter().flatten().filter_map(Result::ok).collect();
    Ok(ClassPrefetch { listed, ranges })
}

/// Returns the ranges of these objects to read ahead; none if they are too many or too long.
fn wanted(class: Class, listed: &[Listed]) -> Vec<(&Listed, Range<u64>)> {
    let ranges = |object: &Listed| match class {
        Class::Index if tail::is_long(object.len_bytes) => {
            tail::first_ranges(object.len_bytes).to_vec()
        }
        _ => iter::once(0..object.len_bytes).collect(),
    };
    let all: Vec<_> = listed
        .iter()
        .flat_map(|object| ranges(object).into_iter().map(move |range| (object, range)))
        .collect();
    let len_bytes =
        all.iter().map(|(_, range)| range.end - range.start).fold(0, u64::saturating_add);
    if listed.len() > FETCHED_MAX || len_bytes > FETCHED_MAX_BYTES { Vec::new() } else { all }
}

fn read(
    store: &dyn Store,
    key: Key,
    object: &Listed,
    range: &Range<u64>,
) -> Result<PrefetchedRange, StoreError> {
    let mut bytes = Vec::new();
    store.read_into(&key, range.clone(), &mut bytes)?;
    Ok(PrefetchedRange {
        key,
        range: range.clone(),
        is_whole: *range == (0..object.len_bytes),
        bytes,
    })
}

/// The thread that fetches a class, until its answers are taken.
type PendingFetch = Mutex<Option<JoinHandle<Option<ClassPrefetch>>>>;

/// A store with prefetched answers.
struct PrefetchStore {
    inner: Arc<dyn Store>,
    pending: [(Class, PendingFetch); 2],
    ranges: Mutex<Vec<PrefetchedRange>>,
}

impl PrefetchStore {
    /// Waits for the prefetch of a class, and takes its listing.
    fn take_listed(&self, class: Class) -> Option<Vec<Listed>> {
        let (_, pending) = self.pending.iter().find(|(of, _)| *of == class)?;
        let found = lock(pending).take()?.join().ok()??;
        lock(&self.ranges).extend(found.ranges);
        Some(found.listed)
    }

    fn take_range(&self, is_it: impl Fn(&PrefetchedRange) -> bool) -> Option<Vec<u8>> {
        let mut ranges = lock(&self.ranges);
        let at = ranges.iter().position(is_it)?;
        Some(ranges.swap_remove(at).bytes)
    }
}

impl layers::Layer for PrefetchStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        match prefix.is_empty().then(|| self.take_listed(class)).flatten() {
            Some(listed) => Ok(listed),
            None => self.inner.list(class, prefix),
        }
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        match self.take_range(|piece| piece.key == *key && piece.range == range) {
            Some(bytes) => out.extend_from_slice(&bytes),
            None => self.inner.read_into(key, range, out)?,
        }
        Ok(())
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        self.take_range(|piece| piece.key == *key && piece.is_whole)
            .map_or_else(|| self.inner.read(key), Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreProperties;
    use crate::store::layers::count::CountStore;
    use crate::store::layers::lazy::LazyStore;
    use crate::store::memory::MemoryStore;
    use crate::store::{Action, ErrorKind};

    fn distant() -> (Arc<MemoryStore>, Arc<CountStore>) {
        let memory = Arc::new(MemoryStore::default());
        let inner = memory.clone();
        let far = LazyStore::new(
            "far away".to_owned(),
            StoreProperties { parallelism: 3, ..StoreProperties::default() },
            Box::new(move || Ok(inner.clone())),
        );
        (memory, Arc::new(CountStore::new(Arc::new(far))))
    }

    fn snapshot(number: u8) -> Key {
        Key::new(Class::Snapshots, format!("{number:032x}"))
    }

    fn run(number: u8) -> Key {
        Key::new(Class::Index, format!("0/{number:064x}"))
    }

    /// Goal: the first request for something prefetched is not sent to the store; the second one
    /// is.
    #[test]
    fn each_answer_is_given_once() {
        let (memory, counted) = distant();
        let long = vec![7; 3 << 20];
        memory.create(&snapshot(1), b"one").unwrap();
        memory.create(&run(1), b"run").unwrap();
        memory.create(&run(2), &long).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = prefetch_listings(counted.clone(), dir.path());
        assert_eq!(store.list(Class::Snapshots, "").unwrap().len(), 1);
        assert_eq!(store.list(Class::Index, "").unwrap().len(), 2);
        let before = counted.counts();
        assert_eq!(
            (store.read(&snapshot(1)).unwrap(), store.read(&run(1)).unwrap()),
            (b"one".to_vec(), b"run".to_vec())
        );
        for range in tail::first_ranges(long.len() as u64) {
            let mut out = vec![1];
            store.read_into(&run(2), range.clone(), &mut out).unwrap();
            assert_eq!((out[0], &out[1..]), (1, &long[range.start as usize..range.end as usize]));
        }
        assert_eq!((counted.counts() - before).total().calls, 0);
        // All answers are used up, so requests go to the store now.
        memory.remove(&snapshot(1)).unwrap();
        memory.create(&snapshot(2), b"two").unwrap();
        assert_eq!(store.read(&snapshot(1)).unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(store.list(Class::Snapshots, "").unwrap()[0].name, snapshot(2).name);
        assert_eq!(store.read(&snapshot(2)).unwrap(), b"two");
    }

    /// Goal: only listings are prefetched if there are local copies, or if the objects are too
    /// large.
    #[test]
    fn little_is_fetched_for_nobody() {
        for is_known in [true, false] {
            let (memory, counted) = distant();
            memory.create(&snapshot(1), b"one").unwrap();
            memory
                .create(
                    &run(1),
                    &vec![7; 1 + if is_known { 0 } else { FETCHED_MAX_BYTES as usize * 16 }],
                )
                .unwrap();
            let dir = tempfile::tempdir().unwrap();
            if is_known {
                locations::remember_location(
                    dir.path(),
                    "far away",
                    crate::id::RepositoryId([7; 16]),
                )
                .unwrap();
            }
            let store = prefetch_listings(counted.clone(), dir.path());
            store.list(Class::Index, "").unwrap();
            store.list(Class::Snapshots, "").unwrap();
            let counts = counted.counts();
            assert_eq!(counts.of_action(Action::List).calls, 2);
            assert_eq!(counts.of(Action::Read, Class::Index).calls, 0);
            assert_eq!(counts.of(Action::Read, Class::Snapshots).calls, u64::from(!is_known));
        }
    }

    /// Goal: the error of a store that cannot be reached comes with the request, not with the
    /// prefetch.
    #[test]
    fn what_failed_ahead_is_asked_for_again() {
        let store = LazyStore::new(
            "far away".to_owned(),
            StoreProperties { parallelism: 3, ..StoreProperties::default() },
            Box::new(|| MemoryStore::default().stat(&run(1)).map(|_| unreachable!())),
        );
        let dir = tempfile::tempdir().unwrap();
        let store = prefetch_listings(Arc::new(store), dir.path());
        assert_eq!(store.list(Class::Index, "").unwrap_err().kind, ErrorKind::NotFound);
    }
}
