//! Goal: one object that a disk cannot read any more costs what is in it, and stops nobody but
//! those who remove; a disk that gives nothing at all is not taken for one on which everything is
//! lost. Method: a store in memory that fails to read some of its objects, as a disk with bad
//! sectors does.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use drumlin::maintain::check::Level;
use drumlin::maintain::repair::{self, RepairPlan};
use drumlin::monitor::Monitor;
use drumlin::repo::{Error, Repository};
use drumlin::store::layers;
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Class, ErrorKind, Key, Store, StoreError};

use crate::support::fixture::{TestRepo, fast_folder, noise, run_backup, run_check};
use crate::support::operations::{at_once, prune, repair_options};
use crate::support::sound::keys_of;

/// Cannot read some of its objects: so often, each.
struct Worn {
    inner: Arc<MemoryStore>,
    failures: Mutex<HashMap<Key, usize>>,
}

impl Worn {
    /// Makes an image of a repository's store that fails to read these objects so often, each.
    fn new(repo: &TestRepo, keys: impl IntoIterator<Item = Key>, times: usize) -> Arc<Self> {
        let failures = keys.into_iter().map(|key| (key, times)).collect();
        Arc::new(Self { inner: Arc::new(repo.memory.image()), failures: Mutex::new(failures) })
    }

    fn try_to_read(&self, key: &Key) -> Result<(), StoreError> {
        match self.failures.lock().unwrap().get_mut(key).filter(|left| **left > 0) {
            None => Ok(()),
            Some(left) => {
                *left -= 1;
                let (location, object) = (self.location().to_owned(), key.to_string());
                let source = "Input/output error".into();
                Err(StoreError {
                    kind: ErrorKind::Unreadable,
                    action: "read",
                    location,
                    object,
                    source,
                })
            }
        }
    }
}

impl layers::Layer for Worn {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        self.try_to_read(key).and_then(|()| self.inner.read_into(key, range, out))
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        self.try_to_read(key).and_then(|()| self.inner.read(key))
    }
}

/// Three snapshots with a pack of file content each.
fn repository() -> TestRepo {
    let repo = TestRepo::new();
    for round in 0..3 {
        repo.write(&format!("file {round}"), &noise(round, 200_000));
        repo.snapshot();
    }
    repo
}

/// A machine that knows nothing yet.
fn stranger(repo: &TestRepo, store: Arc<Worn>) -> (tempfile::TempDir, Arc<Repository>) {
    let cache = fast_folder();
    let repository = repo.open_in(store, cache.path()).unwrap();
    (cache, repository)
}

fn plan(repository: &Arc<Repository>) -> Result<RepairPlan, Error> {
    repair::plan(repository, &repair_options(Level::Full), &Monitor::default())
}

#[test]
fn what_cannot_be_read_is_found_by_a_check_and_stops_a_prune() {
    let repo = repository();
    for class in [Class::Data, Class::Meta, Class::Index, Class::Snapshots, Class::Intents] {
        for key in keys_of(&repo.memory, class) {
            let worn = || Worn::new(&repo, [key.clone()], usize::MAX);
            let report = run_check(&stranger(&repo, worn()).1, Level::Full);
            let told = report.problems.items.iter().any(|problem| {
                problem.object == key.to_string()
                    && problem.message.contains("cannot be read: cannot read")
            });
            assert!(told, "{key}: {report:#?}");
            if class == Class::Data {
                assert!((1..=3).contains(&report.affected.count), "{key}: {report:#?}");
                continue;
            }
            // Intents of sessions that are over are removed before anything is read.
            let others = |store: &MemoryStore| -> Vec<Key> {
                store.keys().into_iter().filter(|key| key.class != Class::Intents).collect()
            };
            let store = worn();
            let refused =
                prune(&stranger(&repo, store.clone()).1, at_once()).map(drop).unwrap_err();
            assert!(refused.is_damage(), "{key}: {refused:?}");
            assert_eq!(others(&store.inner), others(&repo.memory), "{key}");
        }
    }
}

#[test]
fn a_repair_leaves_out_what_cannot_be_read() {
    let repo = repository();
    for class in [Class::Data, Class::Meta, Class::Index] {
        for key in keys_of(&repo.memory, class) {
            let image = Worn::new(&repo, [key.clone()], usize::MAX);
            let (_cache, repository) = stranger(&repo, image.clone());
            let planned = plan(&repository).unwrap();
            assert!(!planned.is_empty(), "{key}");
            let lost = planned.preview.affected.count;
            assert!(lost > 0 || class != Class::Data, "{key}");
            planned.apply(&Monitor::default()).unwrap();
            assert!(image.inner.keys().contains(&key), "nothing is removed: {key}");
            run_backup(&repository, &repo.source());
            let report = run_check(&stranger(&repo, image).1, Level::Full);
            assert!(class == Class::Meta || report.is_sound(), "{key}: {report:#?}");
        }
    }
}

#[test]
fn what_is_read_the_second_time_is_not_lost() {
    let repo = repository();
    // One that is read whole, and then in its pieces, before the second look.
    for (class, pieces) in [(Class::Data, 2), (Class::Meta, 1)] {
        let keys = keys_of(&repo.memory, class);
        for times in 1..=1 + pieces {
            let (_cache, repository) = stranger(&repo, Worn::new(&repo, [keys[0].clone()], times));
            let planned = plan(&repository).unwrap();
            assert!(
                planned.is_empty() && planned.found.is_sound(),
                "{class:?}, {times}: {:#?}",
                planned.found
            );
        }
    }
}

#[test]
fn a_store_that_gives_no_pack_at_all_has_not_lost_them() {
    let repo = repository();
    let packs: Vec<Key> = [Class::Data, Class::Meta]
        .into_iter()
        .flat_map(|class| keys_of(&repo.memory, class))
        .collect();
    let (_cache, repository) = stranger(&repo, Worn::new(&repo, packs, usize::MAX));
    let Err(refused) = plan(&repository) else {
        panic!("it would take everything out of the index")
    };
    assert!(
        matches!(refused, Error::NothingReadable { .. }) && !refused.is_damage(),
        "{refused:?}"
    );
}
