//! Goal: whatever a collector does while a backup runs, the snapshot that the backup commits is
//! whole; or it says why there is none. Method: a scripted collector acts at chosen calls of the
//! backup's store; the result is read by a machine that knows nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use drumlin::backup::{self, BackupOptions};
use drumlin::format::generation::{Condemned, Removal, Victim};
use drumlin::format::run::PackClass;
use drumlin::id::ObjectId;
use drumlin::maintain::check::{CheckReport, Level};
use drumlin::maintain::prune::{self, PruneOptions};
use drumlin::monitor::Monitor;
use drumlin::repo::gc::{generations, intents};
use drumlin::repo::objects::layout;
use drumlin::repo::snapshots::trash::{self, ForgetNote};
use drumlin::repo::{Repository, snapshots};
use drumlin::store::layers;
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Action, Class, ErrorKind, Key, Store, StoreError};

use crate::support::fixture::{
    Meanwhile, TestRepo, fast_folder, noise, now, options, run_backup, run_check,
};

/// Checks everything, on a machine that has seen nothing.
fn check(repo: &TestRepo) -> CheckReport {
    let cache = fast_folder();
    run_check(&repo.open_in(repo.memory.clone(), cache.path()).unwrap(), Level::Full)
}

/// Returns the packs in the store.
fn packs(repo: &TestRepo) -> Vec<Victim> {
    let keys = repo.memory.keys();
    let of = |class, pack_class| {
        let keys = keys.iter().filter(move |key| key.class == class);
        keys.map(move |key| Victim {
            class: pack_class,
            name: layout::object_id(&key.name).unwrap(),
        })
    };
    let mut found: Vec<Victim> =
        of(Class::Data, PackClass::Data).chain(of(Class::Meta, PackClass::Meta)).collect();
    found.sort();
    found
}

/// Opens a generation that condemns these packs.
fn condemn(repository: &Repository, number: u64, packs: Vec<Victim>) -> Removal {
    let removal = Removal { packs, snapshots: Vec::new() };
    let condemned = Condemned { oldest: 1, removal: removal.clone() };
    assert!(generations::condemn(repository, number, now(), condemned).unwrap());
    removal
}

/// Removes all runs and packs that were there, as a collector that found nothing worth keeping.
fn remove_all(repo: &TestRepo, removal: &Removal, runs: &[ObjectId]) {
    for key in repo.memory.keys() {
        let name = layout::object_id(&key.name);
        let is_run = key.class == Class::Index && name.is_some_and(|name| runs.contains(&name));
        if is_run || name.is_some_and(|name| removal.packs.iter().any(|victim| victim.name == name))
        {
            repo.memory.remove(&key).unwrap();
        }
    }
}

fn runs(repo: &TestRepo) -> Vec<ObjectId> {
    repo.memory
        .keys()
        .iter()
        .filter(|key| key.class == Class::Index)
        .filter_map(|key| layout::object_id(&key.name))
        .collect()
}

/// A repository whose only snapshot was removed by hand: its chunks are garbage that a backup of
/// the same source finds.
fn garbage() -> TestRepo {
    let repo = TestRepo::new();
    repo.write("a", &noise(0, 400_000));
    repo.write("b", &noise(1, 300_000));
    let snapshot = repo.snapshot();
    repo.memory.remove(&layout::snapshot_key(&snapshot.id)).unwrap();
    repo
}

#[test]
fn what_is_condemned_after_it_was_relied_on_is_stored_again() {
    for removed_at_once in [false, true] {
        let repo = Arc::new(garbage());
        repo.write("c", &noise(2, 1000));
        let store = Arc::new(Meanwhile::new(repo.memory.clone(), (Action::Create, Class::Intents)));
        let cache = fast_folder();
        let backup = repo.open_in(store.clone(), cache.path()).unwrap();
        let (old_packs, old_runs) = (packs(&repo), runs(&repo));
        let script = (repo.clone(), repo.open(), old_packs.clone(), old_runs.clone());
        store.plan(move || {
            let (repo, collector, packs, runs) = script;
            let removal = condemn(&collector, 1, packs);
            assert!(
                generations::decide(&collector, 1, now(), Some(removal.clone())).unwrap().is_some()
            );
            if removed_at_once {
                remove_all(&repo, &removal, &runs);
            }
        });
        let report = run_backup(&backup, &repo.source());
        assert!(store.is_done() && report.snapshot.is_some());
        remove_all(&repo, &Removal { packs: old_packs, snapshots: Vec::new() }, &old_runs);
        generations::finish(&repo.open(), 1, now(), runs(&repo)).unwrap();
        let report = check(&repo);
        assert!(report.is_sound() && report.counts.chunks_referenced > 4, "{report:#?}");
    }
}

#[test]
fn what_is_condemned_before_a_backup_begins_is_not_relied_on() {
    for verdict in [false, true] {
        let repo = garbage();
        let (old_packs, old_runs) = (packs(&repo), runs(&repo));
        let collector = repo.open();
        let removal = condemn(&collector, 1, old_packs);
        if verdict {
            generations::decide(&collector, 1, now(), Some(removal.clone())).unwrap();
        }
        let cache = fast_folder();
        run_backup(&repo.open_in(repo.memory.clone(), cache.path()).unwrap(), &repo.source());
        generations::decide(&collector, 1, now(), Some(removal.clone())).unwrap();
        remove_all(&repo, &removal, &old_runs);
        let report = check(&repo);
        assert!(report.is_sound() && report.counts.snapshots == 1, "{report:#?}");
    }
}

#[test]
fn a_cancelled_generation_changes_nothing() {
    let repo = garbage();
    let before = packs(&repo);
    condemn(&repo.open(), 1, before.clone());
    assert!(generations::decide(&repo.open(), 1, now(), None).unwrap().is_none());
    let cache = fast_folder();
    run_backup(&repo.open_in(repo.memory.clone(), cache.path()).unwrap(), &repo.source());
    assert!(
        packs(&repo)
            .iter()
            .filter(|pack| pack.class == PackClass::Data)
            .eq(before.iter().filter(|p| p.class == PackClass::Data))
    );
}

/// A collector that takes a running backup for dead costs it a new name, and nothing else.
#[test]
fn a_burnt_slot_makes_the_backup_take_another_name() {
    let repo = TestRepo::new();
    repo.write("a", &noise(0, 40_000));
    let store = Arc::new(Meanwhile::new(repo.memory.clone(), (Action::Create, Class::Snapshots)));
    let cache = fast_folder();
    let backup = repo.open_in(store.clone(), cache.path()).unwrap();
    let collector = repo.open();
    store.plan(move || {
        for (session, found) in intents::read_all(&collector).unwrap() {
            intents::burn_slot(&collector, &session).unwrap();
            intents::remove(&collector, &session, &found.numbers).unwrap();
        }
    });
    let snapshot = run_backup(&backup, &repo.source()).snapshot.unwrap();
    assert!(store.is_done());
    let sessions = intents::read_all(&repo.open()).unwrap();
    assert!(sessions.keys().eq([&snapshot.id]), "the new name has an intent of its own");
    assert!(!sessions[&snapshot.id].packs.is_empty());
    let report = check(&repo);
    assert!(report.is_sound() && report.counts.snapshots == 1, "{report:#?}");
}

/// A commit that failed, and of which nothing is there, is made under another id: it is as if that
/// session had never been.
#[test]
fn a_commit_that_may_come_yet_is_made_under_another_id() {
    use drumlin::store::layers::fault::{Effect, Fault, FaultStore};
    let (action, class) = (Some(Action::Create), Some(Class::Snapshots));
    let fault = |call| Fault {
        action,
        class,
        call,
        effect: Effect::Before(ErrorKind::Other),
        then_dead: false,
    };
    let repo = TestRepo::new();
    repo.write("a", &noise(0, 40_000));
    let cache = fast_folder();
    let store = Arc::new(FaultStore::new(repo.memory.clone(), vec![fault(0)]));
    let snapshot =
        run_backup(&repo.open_in(store, cache.path()).unwrap(), &repo.source()).snapshot.unwrap();
    let sessions = intents::read_all(&repo.open()).unwrap();
    assert!(
        sessions.len() == 2 && sessions.values().all(|found| !found.packs.is_empty()),
        "both names are protected"
    );
    assert!(sessions.contains_key(&snapshot.id) && check(&repo).is_sound());
    // A store that never takes it makes the backup fail in the end.
    repo.write("a", &noise(1, 40_000));
    let store = Arc::new(FaultStore::new(repo.memory.clone(), (0..9).map(fault).collect()));
    let options = BackupOptions { always_snapshot: true, ..options(&[repo.source()], "host") };
    let refused =
        backup::run(&repo.open_in(store, cache.path()).unwrap(), options, &Monitor::default());
    assert!(matches!(refused, Err(backup::Error::Repository(drumlin::repo::Error::Store(_)))));
    assert_eq!(check(&repo).counts.snapshots, 1);
}

/// The commit was done, its answer lost; before the writer looks, the snapshot is forgotten, and a
/// collector removes it and all that it needs. Made again under the same id, it would be a snapshot
/// without chunks.
#[test]
fn a_commit_that_was_made_and_undone_is_not_made_again() {
    use drumlin::store::layers::fault::{Effect, Fault, FaultStore};
    let repo = Arc::new(TestRepo::new());
    repo.write("a", &noise(0, 400_000));
    let (action, class, effect) =
        (Some(Action::Create), Some(Class::Snapshots), Effect::After(ErrorKind::Unanswered));
    let lost = FaultStore::new(
        repo.memory.clone(),
        vec![Fault { action, class, call: 0, effect, then_dead: false }],
    );
    let store = Arc::new(Meanwhile::new(Arc::new(lost), (Action::Read, Class::Snapshots)));
    let script = repo.clone();
    store.plan(move || {
        let collector = script.open();
        let first = snapshots::list(&collector).unwrap().remove(0);
        let word = str::to_owned;
        let note = ForgetNote {
            host: word("h"),
            user: word("u"),
            program: word("p"),
            now: now(),
            reason: word("named"),
        };
        trash::forget(&collector, &first.id, Some(snapshots::chain_hash(&first)), &note).unwrap();
        let options = PruneOptions { trash_window_s: 0, grace_s: 0, ..PruneOptions::new(now()) };
        let report = prune::run(&collector, &options, &Monitor::default()).unwrap();
        assert!(
            report.dropped == [first.id] && report.removed_packs > 0 && packs(&script).is_empty(),
            "{report:#?}"
        );
    });
    let cache = fast_folder();
    let snapshot =
        run_backup(&repo.open_in(store.clone(), cache.path()).unwrap(), &repo.source()).snapshot;
    assert!(store.is_done() && snapshot.is_some());
    let report = check(&repo);
    assert!(
        report.is_sound() && report.counts.snapshots == 1 && report.counts.chunks_referenced > 2,
        "{report:#?}"
    );
}

/// The answer to the commit may be lost although it was done: then it was done.
#[test]
fn a_lost_answer_is_asked_for_again() {
    use drumlin::store::layers::fault::{Effect, Fault, FaultStore};
    for class in [Class::Intents, Class::Snapshots] {
        let repo = TestRepo::new();
        repo.write("a", &noise(0, 40_000));
        let effect = Effect::After(ErrorKind::Unanswered);
        let fault = Fault {
            action: Some(Action::Create),
            class: Some(class),
            call: 0,
            effect,
            then_dead: false,
        };
        let cache = fast_folder();
        let store = Arc::new(FaultStore::new(repo.memory.clone(), vec![fault]));
        assert!(
            run_backup(&repo.open_in(store, cache.path()).unwrap(), &repo.source())
                .snapshot
                .is_some()
        );
        assert!(check(&repo).is_sound());
    }
}

/// A disk drops out after an object has its name and before the name is safe, and the name cannot
/// be taken back: until it is mounted again it shows the object, which is no proof that it keeps
/// it.
#[test]
fn what_could_not_be_made_is_not_made_because_it_can_be_read() {
    use drumlin::store::layers::fault::{Effect, Fault, FaultStore};
    for class in [Class::Intents, Class::Snapshots] {
        for kind in [ErrorKind::Other, ErrorKind::Full, ErrorKind::NotPermitted] {
            let repo = TestRepo::new();
            repo.write("a", &noise(0, 40_000));
            let effect = Effect::After(kind);
            let fault = Fault {
                action: Some(Action::Create),
                class: Some(class),
                call: 0,
                effect,
                then_dead: false,
            };
            let cache = fast_folder();
            let store = Arc::new(FaultStore::new(repo.memory.clone(), vec![fault]));
            let repository = repo.open_in(store, cache.path()).unwrap();
            let failed =
                backup::run(&repository, options(&[repo.source()], "host"), &Monitor::default());
            let said = |error: &StoreError| error.kind == kind && error.action == "create";
            assert!(
                matches!(&failed, Err(backup::Error::Repository(drumlin::repo::Error::Store(error))) if said(error)),
                "{class:?}, {kind:?}: {failed:?}"
            );
            assert!(check(&repo).is_sound(), "{class:?}, {kind:?}");
        }
    }
}

/// A store to which the request to commit comes late: after somebody has looked whether it came.
struct Late {
    inner: Arc<MemoryStore>,
    held: Mutex<Option<(Key, Vec<u8>)>>,
    is_over: AtomicBool,
}

impl layers::Layer for Late {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    fn stat(&self, key: &Key) -> Result<u64, StoreError> {
        let stat = self.inner.stat(key);
        if let Some((key, bytes)) = self.held.lock().unwrap().take_if(|(held, _)| held == key) {
            self.inner.create(&key, &bytes).unwrap();
        }
        stat
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        if key.class != Class::Snapshots || self.is_over.swap(true, Ordering::Relaxed) {
            return self.inner.create(key, bytes);
        }
        *self.held.lock().unwrap() = Some((key.clone(), bytes.to_vec()));
        let (location, object) = (Store::location(self).to_owned(), key.to_string());
        Err(StoreError {
            kind: ErrorKind::Unanswered,
            action: "create",
            location,
            object,
            source: "no answer".into(),
        })
    }
}

/// A commit that arrives while the writer asks whether it did is one, and the only one.
#[test]
fn a_commit_may_arrive_late() {
    let repo = TestRepo::new();
    repo.write("a", &noise(0, 40_000));
    let store = Arc::new(Late {
        inner: repo.memory.clone(),
        held: Mutex::default(),
        is_over: AtomicBool::new(false),
    });
    let cache = fast_folder();
    let snapshot = run_backup(&repo.open_in(store.clone(), cache.path()).unwrap(), &repo.source())
        .snapshot
        .unwrap();
    assert!(store.is_over.load(Ordering::Relaxed) && store.held.lock().unwrap().is_none());
    assert_eq!(snapshots::list_ids(&repo.open()).unwrap(), [snapshot.id]);
    assert!(check(&repo).is_sound());
}

/// A snapshot that cannot be read because the store is away is not left out of a list: an older one
/// would be the newest.
#[test]
fn a_list_without_a_store_is_none() {
    use drumlin::store::layers::fault::{Effect, Fault, FaultStore};
    let repo = TestRepo::new();
    repo.write("a", &noise(0, 40_000));
    repo.snapshot();
    repo.snapshot();
    for call in 0..2 {
        let effect = Effect::Before(ErrorKind::Unavailable);
        let fault = Fault {
            action: Some(Action::Read),
            class: Some(Class::Snapshots),
            call,
            effect,
            then_dead: false,
        };
        let cache = fast_folder();
        let store = Arc::new(FaultStore::new(repo.memory.clone(), vec![fault]));
        let elsewhere = repo.open_in(store, cache.path()).unwrap();
        assert!(snapshots::overview(&elsewhere).is_err());
        assert_eq!(snapshots::overview(&elsewhere).unwrap().snapshots.len(), 2);
    }
}

/// What a session stored and no snapshot vouches for may be lost without a trace; the next session
/// does not rely on what it remembers.
#[test]
fn what_an_unfinished_backup_stored_is_not_believed_to_be_there() {
    use drumlin::store::layers::fault::{Effect, Fault, FaultStore};
    let repo = TestRepo::new();
    repo.write("first", &noise(0, 200_000));
    repo.snapshot();
    let before: std::collections::BTreeSet<Key> = repo.memory.keys().into_iter().collect();
    repo.write("second", &noise(1, 300_000));
    let (action, class, effect) =
        (Some(Action::Create), Some(Class::Snapshots), Effect::Before(ErrorKind::NotPermitted));
    let fault = Fault { action, class, call: 0, effect, then_dead: true };
    let dying = repo
        .open_in(Arc::new(FaultStore::new(repo.memory.clone(), vec![fault])), &repo.cache())
        .unwrap();
    backup::run(&dying, options(&[repo.source()], "host"), &Monitor::default()).unwrap_err();
    drop(dying);
    // The disk never had it.
    let new: Vec<Key> =
        repo.memory.keys().into_iter().filter(|key| !before.contains(key)).collect();
    assert!(
        new.iter().any(|key| key.class == Class::Data)
            && new.iter().any(|key| key.class == Class::Index),
        "{new:?}"
    );
    new.iter().for_each(|key| repo.memory.remove(key).unwrap());
    repo.snapshot();
    let report = check(&repo);
    assert!(report.is_sound(), "{report:#?}");
}

/// The number of a record is the same as long as its run is there, whichever others go: walks mark
/// by numbers.
#[test]
fn numbers_of_records_stay_when_other_runs_go() {
    let repo = TestRepo::new();
    repo.write("first", &noise(0, 200_000));
    let first = repo.snapshot();
    repo.write("second", &noise(1, 200_000));
    let second = repo.snapshot();
    let reader = drumlin::repo::Reader::new(&repo.open()).unwrap();
    let index = reader.index();
    let number = || index.find_numbered(&second.root).unwrap().unwrap().number;
    let old = index.find_numbered(&first.root).unwrap().unwrap();
    let before = (number(), index.record_count());
    let run = index
        .runs()
        .into_iter()
        .find(|run| run.toc().packs.iter().any(|pack| pack.name == old.location.pack.name))
        .unwrap();
    let gone = repo
        .memory
        .keys()
        .into_iter()
        .find(|key| key.name.ends_with(&run.name().to_hex()))
        .unwrap();
    repo.memory.remove(&gone).unwrap();
    reader.sync().unwrap();
    assert_eq!((number(), index.record_count()), before);
    assert!(index.find_numbered(&first.root).unwrap().is_none());
}
