//! Goal: a store that lists little and sends much, or lists much that nobody with a key made, costs
//! no memory. Method: stores in memory that answer a request for a whole object with far more, or
//! list snapshots that are none, and watch what is asked of them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use drumlin::maintain::check::Level;
use drumlin::repo::snapshots::trash::{self, ForgetNote};
use drumlin::repo::{Reader, Trees, snapshots};
use drumlin::store::layers;
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Class, Key, Listed, Store, StoreError, StoreProperties};

use crate::support::fixture::{TestRepo, fast_folder, noise, now, run_check};
use crate::support::sound::read_all;

/// Length of a planted snapshot: as long as one may be that is read.
const PLANTED_LEN_BYTES: u64 = 8 << 20;

struct Generous {
    inner: Arc<MemoryStore>,
    /// Snapshots that are listed and are zeros.
    planted: u32,
    /// How often a whole object was asked for, however long that is.
    whole_reads: AtomicU64,
    under_way: AtomicU64,
    most_under_way: AtomicU64,
}

impl Generous {
    fn new(inner: &Arc<MemoryStore>, planted: u32) -> Arc<Self> {
        let (whole_reads, under_way, most_under_way) = Default::default();
        Arc::new(Self { inner: inner.clone(), planted, whole_reads, under_way, most_under_way })
    }

    fn is_planted(&self, key: &Key) -> bool {
        key.class == Class::Snapshots && key.name.starts_with("00000000000000000000000")
    }
}

impl layers::Layer for Generous {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let mut listed = self.inner.list(class, prefix)?;
        if class == Class::Snapshots {
            listed.extend(
                (0..self.planted)
                    .map(|number| Listed::new(format!("{number:032x}"), PLANTED_LEN_BYTES, None)),
            );
        }
        Ok(listed)
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let len = range.end - range.start;
        let now = self.under_way.fetch_add(len, Ordering::SeqCst) + len;
        self.most_under_way.fetch_max(now, Ordering::SeqCst);
        std::thread::yield_now();
        let read = match self.is_planted(key) {
            true => {
                out.resize(out.len() + len as usize, 0);
                Ok(())
            }
            false => self.inner.read_into(key, range, out),
        };
        self.under_way.fetch_sub(len, Ordering::SeqCst);
        read
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        self.whole_reads.fetch_add(1, Ordering::SeqCst);
        let mut bytes = self.inner.read(key)?;
        bytes.resize(bytes.len() + (1 << 20), 0);
        Ok(bytes)
    }

    fn properties(&self) -> StoreProperties {
        StoreProperties { parallelism: 32, ..StoreProperties::default() }
    }
}

#[test]
fn no_more_is_read_of_an_object_than_is_listed() {
    let repo = TestRepo::new();
    (0..20).for_each(|at| repo.write(&format!("dir-{at}/file"), &noise(at, 40_000)));
    let (first, second) = (repo.snapshot(), {
        repo.write("more", &noise(99, 40_000));
        repo.snapshot()
    });
    let word = || "test".to_owned();
    let note =
        ForgetNote { host: word(), user: word(), program: word(), now: now(), reason: word() };
    trash::forget(&repo.repository, &first.id, None, &note).unwrap();
    let store = Generous::new(&repo.memory, 0);
    let cache = fast_folder();
    let repository = repo.open_in(store.clone(), cache.path()).unwrap();
    assert_eq!(snapshots::listing(&repository).unwrap().forgotten.len(), 1);
    assert!(snapshots::load(&repository, &second.id).unwrap().is_some());
    assert!(snapshots::load_from_store(&repository, &second.id).unwrap().is_some());
    for reader in [Reader::tolerant, Reader::for_lookup, Reader::new] {
        let trees = Trees::new(reader(&repository).unwrap());
        assert!(read_all(&trees, &second).len() > 20);
    }
    assert!(run_check(&repository, Level::Full).is_sound());
    trash::undelete(&repository, &first.id, 7 * 86_400, now(), &|| Ok(true)).unwrap();
    assert_eq!(store.whole_reads.load(Ordering::SeqCst), 0);
}

#[test]
fn few_of_many_long_objects_are_in_memory_at_once() {
    let repo = TestRepo::new();
    repo.write("file", &noise(1, 40_000));
    repo.snapshot();
    let store = Generous::new(&repo.memory, 48);
    let cache = fast_folder();
    let repository = repo.open_in(store.clone(), cache.path()).unwrap();
    let listed = snapshots::list_all(&repository).unwrap();
    assert_eq!(listed.iter().filter(|(_, snapshot)| snapshot.is_ok()).count(), 1);
    assert_eq!(listed.len(), 49);
    let most = store.most_under_way.load(Ordering::SeqCst);
    assert!((PLANTED_LEN_BYTES..=32 << 20).contains(&most), "{most} bytes at once");
}
