//! Goal: what a store that has no key takes away, puts back or dates is noticed by every machine
//! that can know of it. Method: a repository in memory, whose objects are moved while the program
//! does not look.

use std::sync::Arc;

use drumlin::format::intent::Intent;
use drumlin::format::snapshot::Snapshot;
use drumlin::id::SnapshotId;
use drumlin::maintain::check::{CheckReport, Level};
use drumlin::repo::gc::intents;
use drumlin::repo::objects::layout;
use drumlin::repo::snapshots::trash::{self, ForgetNote, TRASH_WINDOW_S};
use drumlin::repo::snapshots::{self, chains};
use drumlin::repo::{Error, Repository};
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Class, Store};
use tempfile::TempDir;

use crate::support::fixture::{TestRepo, fast_folder, noise, now, run_check};
use crate::support::operations::{at_once, prune, put_in_trash};

/// Opens the repository on a machine that has seen nothing.
pub fn new_machine(repo: &TestRepo, store: &Arc<MemoryStore>) -> (TempDir, Arc<Repository>) {
    let cache = fast_folder();
    let repository = repo.open_in(store.clone(), cache.path()).unwrap();
    (cache, repository)
}

/// Makes as many snapshots, each with content that only it has.
pub fn history(count: u64) -> (TestRepo, Vec<Snapshot>) {
    let repo = TestRepo::new();
    let take = |round| {
        repo.write("only", &noise(round, 60_000 + round as usize));
        repo.snapshot()
    };
    let shots = (0..count).map(take).collect();
    (repo, shots)
}

/// What is told of who forgets or protects.
pub fn note() -> ForgetNote {
    let word = str::to_owned;
    ForgetNote {
        host: word("h"),
        user: word("u"),
        program: word("p"),
        now: now(),
        reason: word("named"),
    }
}

fn check(repo: &TestRepo, store: &Arc<MemoryStore>) -> CheckReport {
    let (_cache, machine) = new_machine(repo, store);
    run_check(&machine, Level::Structure)
}

fn packs(store: &MemoryStore) -> usize {
    [Class::Data, Class::Meta].iter().map(|class| store.list(*class, "").unwrap().len()).sum()
}

/// A verdict names ids and no hashes: what it dropped explains no gap in a chain once its tombstone
/// is gone, so that nobody can make room for hiding a snapshot by taking an old tombstone away.
#[test]
fn a_tombstone_that_is_taken_away_explains_no_other_snapshot() {
    let (repo, shots) = history(5);
    shots[..2].iter().for_each(|shot| put_in_trash(&repo.open(), shot));
    prune(&repo.open(), at_once()).unwrap();
    assert!(check(&repo, &repo.memory).is_sound());
    let store = Arc::new(repo.memory.image());
    store.remove(&layout::snapshot_key(&shots[3].id)).unwrap();
    for gone in [None, Some(&shots[0]), Some(&shots[1])] {
        if let Some(gone) = gone {
            store.remove(&layout::tombstone_key(&gone.id)).unwrap();
        }
        let before = packs(&store);
        let (_cache, machine) = new_machine(&repo, &store);
        let outcome = prune(&machine, at_once());
        assert!(
            matches!(outcome, Err(Error::RolledBack { .. })),
            "{:?}: {outcome:?}",
            gone.map(|shot| shot.sequence)
        );
        assert_eq!(packs(&store), before);
        assert!(!check(&repo, &store).is_sound());
    }
    // Shown again, it is as it was.
    store.overwrite(
        &layout::snapshot_key(&shots[3].id),
        &repo.memory.read(&layout::snapshot_key(&shots[3].id)).unwrap(),
    );
    store.overwrite(
        &layout::tombstone_key(&shots[1].id),
        &repo.memory.read(&layout::tombstone_key(&shots[1].id)).unwrap(),
    );
    let (_cache, machine) = new_machine(&repo, &store);
    prune(&machine, at_once()).unwrap();
    assert!(check(&repo, &store).is_sound());
}

/// Somebody who came too late to bring a snapshot back has taken its tombstone away and died:
/// machines with a copy of it go on.
#[test]
fn a_copy_of_a_tombstone_explains_what_a_verdict_dropped() {
    let (repo, shots) = history(3);
    put_in_trash(&repo.open(), &shots[1]);
    let (_cache, machine) = new_machine(&repo, &repo.memory);
    snapshots::listing(&machine).unwrap();
    prune(&repo.open(), at_once()).unwrap();
    repo.memory.remove(&layout::tombstone_key(&shots[1].id)).unwrap();
    prune(&machine, at_once()).unwrap();
    assert!(
        chains::name_hidden(&machine, &snapshots::listing(&machine).unwrap()).unwrap().is_empty()
    );
    let (_cache, stranger) = new_machine(&repo, &repo.memory);
    assert!(matches!(prune(&stranger, at_once()), Err(Error::RolledBack { .. })), "it cannot know");
}

fn is_refused<T>(outcome: Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Unjustified { object, .. }) if object.ends_with(".forgotten"))
}

/// A tombstone that this machine took back hides nothing and explains nothing, if it is put back:
/// with the slot, and without it.
#[test]
fn a_tombstone_that_is_replayed_is_noticed_by_whoever_took_it_back() {
    let (repo, shots) = history(3);
    let last = &shots[2];
    let machine = repo.open();
    // Clocks may stand still.
    let note = note();
    let put =
        || trash::forget(&machine, &last.id, Some(snapshots::chain_hash(last)), &note).unwrap();
    let key = layout::tombstone_key(&last.id);
    let back = || trash::undelete(&machine, &last.id, TRASH_WINDOW_S, now(), &|| Ok(true)).unwrap();
    assert!(put());
    let first = repo.memory.read(&key).unwrap();
    back();
    // An honest second time is another one, whatever the clock says.
    assert!(put());
    assert_eq!(snapshots::list(&machine).unwrap().len(), 2);
    assert_eq!(snapshots::listing(&machine).unwrap().forgotten.len(), 1);
    back();
    repo.memory.overwrite(&key, &first);
    for _ in 0..2 {
        assert!(is_refused(snapshots::list(&machine)) && is_refused(snapshots::listing(&machine)));
        assert!(
            is_refused(prune(&machine, at_once()))
                && is_refused(trash::forget(&machine, &last.id, None, &note))
        );
        let report = run_check(&machine, Level::Structure);
        assert!(report.went_back && !report.is_sound(), "{report:#?}");
    }
    // Others cannot know; whoever knows takes it back once more, also after the window.
    assert_eq!(snapshots::list(&new_machine(&repo, &repo.memory).1).unwrap().len(), 2);
    let listed = snapshots::listing_to_bring_back(&machine).unwrap();
    assert_eq!((listed.snapshots.len(), listed.faults.len()), (3, 1));
    trash::undelete(&machine, &last.id, 0, now(), &|| Ok(true)).unwrap();
    assert_eq!(snapshots::list(&machine).unwrap().len(), 3);
    assert!(run_check(&machine, Level::Structure).is_sound());
    // Nor does it explain that the snapshot is gone.
    repo.memory.overwrite(&key, &first);
    let slot = layout::snapshot_key(&last.id);
    let bytes = repo.memory.read(&slot).unwrap();
    repo.memory.remove(&slot).unwrap();
    for _ in 0..2 {
        assert!(is_refused(snapshots::list(&machine)) && is_refused(prune(&machine, at_once())));
        assert!(run_check(&machine, Level::Structure).went_back);
    }
    repo.memory.overwrite(&slot, &bytes);
    repo.memory.remove(&key).unwrap();
    prune(&machine, at_once()).unwrap();
    assert!(run_check(&machine, Level::Full).is_sound());
}

/// Whoever lists learns of a snapshot that is hidden in the middle of a chain, by what the list
/// itself proves.
#[test]
fn a_list_tells_what_is_hidden_in_the_middle() {
    let (repo, shots) = history(4);
    let hidden = |store: &Arc<MemoryStore>| -> Vec<SnapshotId> {
        let (_cache, machine) = new_machine(&repo, store);
        let listing = snapshots::overview(&machine).unwrap();
        chains::name_hidden(&machine, &listing).unwrap().iter().map(|after| after.id).collect()
    };
    assert!(hidden(&repo.memory).is_empty());
    let store = Arc::new(repo.memory.image());
    store.remove(&layout::snapshot_key(&shots[1].id)).unwrap();
    assert_eq!(hidden(&store), [shots[2].id]);
    // What was forgotten is not hidden, in the trash and after it, to those who have seen the
    // tombstone and to others.
    let machine = repo.open();
    put_in_trash(&machine, &shots[1]);
    assert!(hidden(&repo.memory).is_empty());
    prune(&machine, at_once()).unwrap();
    assert!(hidden(&repo.memory).is_empty());
    assert!(
        chains::name_hidden(&machine, &snapshots::overview(&machine).unwrap()).unwrap().is_empty()
    );
    // Who has copies of all tombstones is not misled by their number.
    repo.memory.remove(&layout::snapshot_key(&shots[2].id)).unwrap();
    let (_cache, stranger) = new_machine(&repo, &repo.memory);
    snapshots::overview(&stranger).unwrap();
    assert!(prune(&stranger, at_once()).is_err());
    assert_eq!(
        chains::name_hidden(&stranger, &snapshots::overview(&stranger).unwrap()).unwrap().len(),
        1
    );
}

/// An intent that the store itself dates into the future expires as well.
#[test]
fn an_intent_that_the_store_dates_into_the_future_expires() {
    let day = 24 * 3600;
    for (ahead_days, is_dead) in [(10_000, true), (15, true), (13, false), (0, false)] {
        let (repo, shots) = history(2);
        let store = Arc::new(repo.memory.image());
        let (_cache, machine) = new_machine(&repo, &store);
        let session = SnapshotId([7; 16]);
        let began = now();
        store.set_clock(began.seconds + ahead_days * day);
        let intent = Intent {
            session,
            number: 0,
            created: began,
            host: "host".to_owned(),
            generation: 0,
            root: None,
            parent: Some(shots[0].id),
            packs: Vec::new(),
            extensions: Vec::new(),
        };
        intents::write(&machine, intent, &std::collections::HashSet::new()).unwrap();
        store.set_clock(began.seconds);
        let mut options = at_once();
        options.now = began;
        prune(&machine, options).unwrap();
        assert_eq!(
            store.stat(&layout::snapshot_key(&session)).is_ok(),
            is_dead,
            "{ahead_days} days ahead"
        );
    }
}
