//! Goal: where a repository has no room left at all, `prune` makes some, also if it dies meanwhile,
//! and nothing that is needed is lost. Method: a store that counts blocks like a file system and
//! refuses what does not fit; it is filled to the last block; then a prune collects, or dies at
//! every call of the store, and the next one goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use drumlin::backup::{self, BackupOptions};
use drumlin::maintain::check::Level;
use drumlin::monitor::Monitor;
use drumlin::repo::gc::reserve;
use drumlin::repo::open::probe;
use drumlin::repo::snapshots::trash::{self, ForgetNote};
use drumlin::repo::{Repository, snapshots};
use drumlin::store::layers;
use drumlin::store::layers::fault::{Effect, Fault, FaultStore};
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Class, ErrorKind, Key, Store, StoreError, StoreProperties};

use crate::support::fixture::{TestRepo, fast_folder, noise, now, options, run_check};
use crate::support::operations::{at_once, prune, put_in_trash};

const BLOCK_BYTES: u64 = 4096;

/// A store with room for so many blocks.
struct Small {
    inner: Arc<MemoryStore>,
    blocks: AtomicU64,
}

impl Small {
    fn used(&self) -> u64 {
        let objects = Class::ALL.iter().flat_map(|class| self.inner.list(*class, "").unwrap());
        objects.map(|object| object.len_bytes.div_ceil(BLOCK_BYTES)).sum()
    }

    /// Takes all room that is left away.
    fn fill(&self) {
        self.blocks.store(self.used(), Ordering::SeqCst);
    }

    fn image(&self) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::new(self.inner.image()),
            blocks: AtomicU64::new(self.blocks.load(Ordering::SeqCst)),
        })
    }
}

impl layers::Layer for Small {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        if self.used() + (bytes.len() as u64).div_ceil(BLOCK_BYTES)
            > self.blocks.load(Ordering::SeqCst)
        {
            let (location, object) = (Store::location(self).to_owned(), key.to_string());
            return Err(StoreError {
                kind: ErrorKind::Full,
                action: "create",
                location,
                object,
                source: "no room".into(),
            });
        }
        self.inner.create(key, bytes)
    }

    fn location(&self) -> &str {
        "small"
    }

    fn properties(&self) -> StoreProperties {
        StoreProperties { can_run_full: true, ..StoreProperties::default() }
    }
}

/// A repository without any room, most of which is forgotten.
struct Crammed {
    repo: TestRepo,
    store: Arc<Small>,
}

impl Crammed {
    fn new(is_pruned_before: bool) -> Self {
        let memory = Arc::new(MemoryStore::default());
        let store = Arc::new(Small { inner: memory.clone(), blocks: AtomicU64::new(u64::MAX / 2) });
        let repo = TestRepo::with_store(memory, store.clone());
        let mut shots = Vec::new();
        // Without a reserve there have to be some intents, one for each backup since the last
        // prune.
        for round in 0..if is_pruned_before { 4 } else { 16 } {
            repo.write("same", &noise(1, 30_000));
            repo.write("changes", &noise(100 + round, 150_000));
            let options = BackupOptions { low_memory: true, ..options(&[repo.source()], "host") };
            shots.push(
                backup::run(&repo.open(), options, &Monitor::default()).unwrap().snapshot.unwrap(),
            );
        }
        if is_pruned_before {
            // No intents are left then, but the reserve is there.
            let repository = repo.open_in(store.clone(), &repo.cache()).unwrap();
            prune(&repository, at_once()).unwrap();
            assert_eq!(store.list(Class::Probe, "").unwrap().len(), 2);
            assert!(store.list(Class::Intents, "").unwrap().is_empty());
        }
        shots.pop();
        shots.iter().for_each(|shot| put_in_trash(&repo.open(), shot));
        store.fill();
        Self { repo, store }
    }

    fn prune_in(&self, store: Arc<dyn Store>) -> drumlin::repo::Result<u64> {
        let cache = fast_folder();
        let repository = self.repo.open_in(store, cache.path())?;
        assert!(reserve::with_room(&repository, || probe::is_exclusive(&repository))?);
        prune(&repository, at_once()).map(|report| report.removed_bytes)
    }

    fn check(&self, what: &str, store: &Arc<Small>) {
        let cache = fast_folder();
        let report =
            run_check(&self.repo.open_in(store.clone(), cache.path()).unwrap(), Level::Full);
        assert!(report.is_sound(), "{what}: {report:#?}");
    }
}

#[test]
fn a_prune_makes_room_where_there_is_none() {
    for is_pruned_before in [true, false] {
        let crammed = Crammed::new(is_pruned_before);
        let trial = crammed.store.image();
        let refused = trial.create(&Key::new(Class::Probe, "x"), b"x").unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Full);
        let before = trial.used();
        crammed.prune_in(trial.clone()).unwrap();
        assert!(
            trial.used() + 80 < before,
            "{is_pruned_before}: {} blocks, {before} before",
            trial.used()
        );
        crammed.check("pruned", &trial);
        // And there is a reserve for the next time.
        assert_eq!(trial.list(Class::Probe, "reserve").unwrap().len(), 2, "{is_pruned_before}");
    }
}

#[test]
fn whoever_dies_where_there_is_no_room_leaves_what_the_next_goes_on_with() {
    let crammed = Crammed::new(true);
    let counted = || Arc::new(FaultStore::new(crammed.store.image(), Vec::new()));
    let (probed, pruned) = (counted(), counted());
    let cache = fast_folder();
    let repository = crammed.repo.open_in(probed.clone(), cache.path()).unwrap();
    reserve::with_room(&repository, || probe::is_exclusive(&repository)).unwrap();
    crammed.prune_in(pruned.clone()).unwrap();
    let mut deaths = 0;
    // Calls of the probe are many and all alike.
    for call in (0..pruned.calls()).filter(|call| *call >= probed.calls() || call % 8 == 0) {
        let trial = crammed.store.image();
        let effect = if call % 2 == 0 {
            Effect::After(ErrorKind::Other)
        } else {
            Effect::Before(ErrorKind::Other)
        };
        let fault = Fault { action: None, class: None, call, effect, then_dead: true };
        // Races of the probe are in no fixed order, so some calls come elsewhere.
        deaths += u64::from(
            crammed.prune_in(Arc::new(FaultStore::new(trial.clone(), vec![fault]))).is_err(),
        );
        crammed.check(&format!("dead at call {call}"), &trial);
        crammed.prune_in(trial.clone()).unwrap();
        assert!(trial.used() + 80 < crammed.store.used(), "after a death at call {call}");
        crammed.check(&format!("after a death at call {call}"), &trial);
    }
    assert!(deaths > 40, "{deaths}");
}

#[test]
fn what_is_there_can_be_forgotten_without_any_room() {
    let crammed = Crammed::new(true);
    let repository: Arc<Repository> =
        crammed.repo.open_in(crammed.store.clone(), &crammed.repo.cache()).unwrap();
    let left = snapshots::list(&repository).unwrap().pop().unwrap();
    let word = str::to_owned;
    let note = ForgetNote {
        host: word("h"),
        user: word("u"),
        program: word("p"),
        now: now(),
        reason: word("named"),
    };
    assert!(
        trash::forget(&repository, &left.id, Some(snapshots::chain_hash(&left)), &note).unwrap()
    );
    assert!(snapshots::list(&repository).unwrap().is_empty());
}

/// Others may fill what a `forget` has freed, before anybody prunes.
#[test]
fn what_fills_up_again_after_a_forget_can_be_pruned() {
    let crammed = Crammed::new(true);
    let repository: Arc<Repository> =
        crammed.repo.open_in(crammed.store.clone(), &crammed.repo.cache()).unwrap();
    let left = snapshots::list(&repository).unwrap().pop().unwrap();
    put_in_trash(&repository, &left);
    let parts = || {
        let listed = crammed.store.list(Class::Probe, "").unwrap();
        let mut parts: Vec<_> =
            listed.into_iter().map(|object| (object.name, object.len_bytes)).collect();
        parts.sort();
        parts
    };
    let part = |name: &str, len_bytes: u64| (name.to_owned(), len_bytes);
    // What is left of the room is kept: less for whoever forgets, all for a prune.
    assert_eq!(parts(), [part("reserve", 256 << 10), part("reserve-marks", 60 << 10)]);
    crammed.store.fill();
    // And again, until nothing is left of the smaller part.
    for round in 0..20 {
        let create =
            || Ok(crammed.store.create(&Key::new(Class::Probe, format!("x{round}")), b"x")?);
        reserve::with_room(&repository, create).unwrap();
        crammed.store.fill();
    }
    assert!(
        parts().iter().any(|(name, len_bytes)| name == "reserve" && *len_bytes >= 192 << 10),
        "{:?}",
        parts()
    );
    let before = crammed.store.used();
    crammed.prune_in(crammed.store.clone()).unwrap();
    assert!(crammed.store.used() + 80 < before, "{} blocks, {before} before", crammed.store.used());
    crammed.check("pruned", &crammed.store);
    assert_eq!(parts().iter().filter(|(name, _)| name.starts_with("reserve")).count(), 2);
}

/// Goal: asking for nothing unused never makes a repository larger. Method: packs of which very
/// little is unused, few and many, are pruned with no share allowed; the sum of all packs and runs,
/// and what the report says of it, are compared with the store.
#[test]
fn nothing_is_rewritten_for_less_than_it_costs() {
    for (files, len) in [(3u64, 70_000usize), (12, 20_000), (30, 2_000)] {
        let repo = TestRepo::new();
        for file in 0..files {
            repo.write(&format!("f{file}"), &noise(file, len));
        }
        repo.write("tiny", &noise(1_000, 600));
        let first = repo.snapshot();
        std::fs::remove_file(repo.source().join("tiny")).unwrap();
        repo.write("other", &noise(1_001, 700));
        repo.snapshot();
        put_in_trash(&repo.open(), &first);
        let stored = |classes: &[Class]| -> u64 {
            classes
                .iter()
                .flat_map(|class| repo.memory.list(*class, "").unwrap())
                .map(|object| object.len_bytes)
                .sum()
        };
        let classes = [Class::Data, Class::Meta, Class::Index];
        let before = (stored(&Class::ALL), stored(&classes));
        let report = prune(&repo.open(), at_once()).unwrap();
        let after = (stored(&Class::ALL), stored(&classes));
        assert!(
            after.1 <= before.1,
            "{files} files: {after:?} bytes, {before:?} before: {report:#?}"
        );
        assert_eq!(report.freed_bytes(), before.1 - after.1, "{files} files: {report:#?}");
    }
}
