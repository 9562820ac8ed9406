//! Goal: what a store cannot do is found out before anybody relies on it.
//! Method: stores that lie, each in one way, around a store in memory.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use drumlin::repo::open::probe::{self, probe};
use drumlin::repo::{Error, Result};
use drumlin::store::layers;
use drumlin::store::layers::fault::{Effect, Fault, FaultStore};
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Action, Class, ErrorKind, Key, Listed, Store, StoreError};

use crate::support::fixture::TestRepo;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// Says that it created, and keeps the old object.
    Pretends,
    /// Excludes others on the same connection only.
    LosesRaces,
    /// Lists nothing.
    ListsNothing,
    /// Returns objects from their beginning, whatever range was asked for.
    IgnoresRanges,
    /// Keeps what was removed.
    KeepsRemoved,
    /// Lists what was removed.
    ListsRemoved,
}

struct Liar {
    inner: MemoryStore,
    lie: Lie,
    makers: Mutex<HashMap<Key, ThreadId>>,
    removed: Mutex<Vec<Listed>>,
}

impl Liar {
    fn new(lie: Lie) -> Self {
        let inner = MemoryStore::default();
        if lie == Lie::LosesRaces {
            inner.replace_objects();
        }
        Self { inner, lie, makers: Mutex::default(), removed: Mutex::default() }
    }
}

impl layers::Layer for Liar {
    fn inner(&self) -> &dyn Store {
        &self.inner
    }

    fn list(&self, class: Class, prefix: &str) -> std::result::Result<Vec<Listed>, StoreError> {
        let mut listed = self.inner.list(class, prefix)?;
        match self.lie {
            Lie::ListsNothing => listed.clear(),
            Lie::ListsRemoved => listed.extend(self.removed.lock().unwrap().iter().cloned()),
            _ => {}
        }
        Ok(listed)
    }

    fn read_into(
        &self,
        key: &Key,
        range: Range<u64>,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), StoreError> {
        let range = if self.lie == Lie::IgnoresRanges { 0..range.end - range.start } else { range };
        self.inner.read_into(key, range, out)
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> std::result::Result<(), StoreError> {
        match self.lie {
            Lie::Pretends => self.inner.create(key, bytes).or(Ok(())),
            Lie::LosesRaces => {
                let me = thread::current().id();
                let first = *self.makers.lock().unwrap().entry(key.clone()).or_insert(me);
                if first == me && self.inner.stat(key).is_ok() {
                    return Err(exists(key));
                }
                self.inner.create(key, bytes)
            }
            _ => self.inner.create(key, bytes),
        }
    }

    fn remove(&self, key: &Key) -> std::result::Result<(), StoreError> {
        match self.lie {
            Lie::KeepsRemoved => Ok(()),
            _ => {
                let listed = self.inner.list(key.class, &key.name)?;
                self.removed.lock().unwrap().extend(listed);
                self.inner.remove(key)
            }
        }
    }

    fn location(&self) -> &str {
        "liar"
    }
}

/// Returns what a store says whose object exists.
fn exists(key: &Key) -> StoreError {
    let store = MemoryStore::default();
    store.create(key, b"").unwrap();
    store.create(key, b"").unwrap_err()
}

#[test]
fn stores_that_create_exclusively_pass_and_nothing_is_left() {
    let memory = MemoryStore::default();
    assert!(probe(&memory).unwrap());
    assert!(memory.keys().is_empty(), "{:?}", memory.keys());
    let folder = tempfile::tempdir().unwrap();
    let local = drumlin::store::local::LocalStore::open_or_make(folder.path()).unwrap();
    assert!(probe(&local).unwrap());
    assert!(local.list(Class::Probe, "").unwrap().is_empty());
}

#[test]
fn stores_that_replace_are_found_out_and_nothing_is_left() {
    let memory = MemoryStore::default();
    memory.replace_objects();
    assert!(!probe(&memory).unwrap());
    assert!(memory.keys().is_empty(), "{:?}", memory.keys());
    for lie in [Lie::Pretends, Lie::LosesRaces] {
        let liar = Liar::new(lie);
        assert!(!probe(&liar).unwrap(), "{lie:?}");
        assert!(liar.inner.keys().is_empty(), "{lie:?}");
    }
}

#[test]
fn stores_that_are_no_stores_are_refused() {
    for lie in [Lie::ListsNothing, Lie::IgnoresRanges, Lie::KeepsRemoved, Lie::ListsRemoved] {
        let probed: Result<bool> = probe(&Liar::new(lie));
        assert!(matches!(probed, Err(Error::UnusableStore { .. })), "{lie:?}: {probed:?}");
    }
}

/// What fails is neither taken for exclusive nor for the opposite, at whatever call.
#[test]
fn a_failing_store_is_an_error() {
    let count = FaultStore::new(Arc::new(MemoryStore::default()), Vec::new());
    assert!(probe(&count).unwrap());
    for call in 0..count.calls() {
        let effect = Effect::Before(ErrorKind::NotPermitted);
        let fault = Fault { action: None, class: None, call, effect, then_dead: false };
        let probed = probe(&FaultStore::new(Arc::new(MemoryStore::default()), vec![fault]));
        assert!(matches!(probed, Err(Error::Store(_))), "call {call}: {probed:?}");
    }
}

/// A race that was lost once is remembered by the machine; another one finds out for itself.
#[test]
fn a_store_that_failed_once_is_not_trusted_again() {
    let repo = TestRepo::new();
    assert!(probe::is_exclusive(&repo.repository).unwrap());
    probe::remember(&repo.repository).unwrap();
    assert!(!probe::is_exclusive(&repo.repository).unwrap());
    assert!(!probe::is_exclusive(&repo.open()).unwrap(), "it is a note on disk");
    let elsewhere = tempfile::tempdir().unwrap();
    let other = repo.open_in(repo.memory.clone(), elsewhere.path()).unwrap();
    assert!(probe::is_exclusive(&other).unwrap());
    repo.memory.replace_objects();
    assert!(!probe::is_exclusive(&other).unwrap() && !probe::is_exclusive(&other).unwrap());
}

/// What a probe that died left goes after a day of the store's clock, and not before: it may be at
/// work.
#[test]
fn what_dead_probes_left_is_removed_a_day_later() {
    let memory = Arc::new(MemoryStore::default());
    memory.set_clock(1_000_000);
    let dies = Fault {
        action: Some(Action::Create),
        class: None,
        call: 1,
        effect: Effect::Before(ErrorKind::Other),
        then_dead: true,
    };
    probe(&FaultStore::new(memory.clone(), vec![dies])).unwrap_err();
    assert_eq!(memory.keys().len(), 1);
    memory.set_clock(1_000_000 + 24 * 3600);
    assert!(probe(&*memory).unwrap());
    assert_eq!(memory.keys().len(), 1);
    memory.set_clock(1_000_001 + 24 * 3600);
    assert!(probe(&*memory).unwrap());
    assert!(memory.keys().is_empty());
}

/// What a probe did not name stays, however old: it is somebody else's.
#[test]
fn old_files_of_others_stay_in_the_folder_of_probes() {
    let memory = MemoryStore::default();
    memory.set_clock(1_000_000);
    let id = "0123456789abcdef0123456789abcdef";
    let own = [format!("{id}.0"), format!("{id}.8")];
    let foreign = [
        "passwd",
        "hosts",
        &id[1..],
        id,
        &format!("{id}.9999"),
        &format!("{id}.x"),
        &format!("{id}.0/x"),
        "aa/bb.0",
    ];
    for name in own.iter().map(String::as_str).chain(foreign) {
        memory.create(&Key::new(Class::Probe, name), b"precious").unwrap();
    }
    memory.set_clock(9_000_000);
    assert!(probe(&memory).unwrap());
    let mut left: Vec<String> = memory.keys().into_iter().map(|key| key.name).collect();
    left.sort();
    let mut expected = foreign.map(str::to_owned);
    expected.sort();
    assert_eq!(left, expected);
}
