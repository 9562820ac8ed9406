//! Goal: what a store lists and says that it is not there is damage, and nothing is concluded from
//! its absence. Method: a store in memory that answers "there is no such object" for objects which
//! it goes on listing.

use std::ops::Range;
use std::sync::Arc;

use drumlin::maintain::check::Level;
use drumlin::maintain::prune::PruneOptions;
use drumlin::repo::{Error, Repository, snapshots};
use drumlin::store::layers;
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Class, ErrorKind, Key, Store, StoreError};

use crate::support::fixture::{TestRepo, fast_folder, noise, now, run_check};
use crate::support::operations::{at_once, prune};

/// Lists some objects and gives them to nobody.
struct Mute {
    inner: Arc<MemoryStore>,
    class: Class,
}

impl Mute {
    fn refuse(&self, key: &Key) -> Result<(), StoreError> {
        if key.class != self.class {
            return Ok(());
        }
        let (location, object) = (self.inner.location().to_owned(), key.to_string());
        Err(StoreError {
            kind: ErrorKind::NotFound,
            action: "read",
            location,
            object,
            source: "no such object".into(),
        })
    }
}

impl layers::Layer for Mute {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    fn stat(&self, key: &Key) -> Result<u64, StoreError> {
        self.refuse(key).and_then(|()| self.inner.stat(key))
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        self.refuse(key).and_then(|()| self.inner.read_into(key, range, out))
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        self.refuse(key).and_then(|()| self.inner.read(key))
    }
}

/// A machine that knows nothing yet, at a store that keeps objects of a class to itself.
fn stranger(repo: &TestRepo, class: Class) -> (tempfile::TempDir, Arc<Repository>) {
    let cache = fast_folder();
    let repository =
        repo.open_in(Arc::new(Mute { inner: repo.memory.clone(), class }), cache.path()).unwrap();
    (cache, repository)
}

#[test]
fn a_snapshot_that_is_listed_and_not_given_is_damaged_and_stops_a_prune() {
    let repo = TestRepo::new();
    repo.write("file", &noise(1, 200_000));
    repo.snapshot();
    let before = repo.memory.keys();
    let (_cache, repository) = stranger(&repo, Class::Snapshots);
    let listed = snapshots::list_all(&repository).unwrap();
    assert_eq!(listed.len(), 1);
    assert!(
        matches!(&listed[0].1, Err(error) if error.is_damage() && !error.is_not_found()),
        "{:?}",
        listed[0].1
    );
    let refused = prune(&repository, at_once()).unwrap_err();
    assert!(refused.is_damage(), "{refused:?}");
    assert_eq!(repo.memory.keys(), before);
}

#[test]
fn a_pack_or_run_that_is_listed_and_not_given_is_found_by_a_check() {
    let repo = TestRepo::new();
    repo.write("file", &noise(1, 200_000));
    repo.snapshot();
    for class in [Class::Data, Class::Meta, Class::Index] {
        let (_cache, repository) = stranger(&repo, class);
        let report = run_check(&repository, Level::Full);
        let begins = |object: &str| object.starts_with(&format!("{}/", class.dir_name()));
        assert!(
            report.problems.items.iter().any(|problem| begins(&problem.object)),
            "{class:?}: {report:#?}"
        );
        assert!(report.affected.count > 0 || class == Class::Index, "{class:?}: {report:#?}");
    }
}

#[test]
fn an_intent_that_is_listed_and_not_given_stops_a_prune() {
    let repo = TestRepo::new();
    repo.write("file", &noise(1, 200_000));
    let shot = repo.snapshot();
    // A running backup: it has said what it relies on, and its slot is empty.
    let (key, slot) = (
        Key::new(Class::Snapshots, shot.id.to_hex()),
        Key::new(Class::Intents, format!("{}.0", shot.id.to_hex())),
    );
    assert!(repo.memory.read(&slot).is_ok(), "{:?}", repo.memory.keys());
    repo.memory.remove(&key).unwrap();
    let before = repo.memory.keys();
    let (_cache, repository) = stranger(&repo, Class::Intents);
    let refused = prune(&repository, PruneOptions { now: now(), ..at_once() }).unwrap_err();
    assert!(
        matches!(&refused, Error::Malformed { object, .. } if object.starts_with("intents/")),
        "{refused:?}"
    );
    assert_eq!(repo.memory.keys(), before);
}
