//! Goal: on a store that replaces objects nothing is lost as long as there is one collector; and
//! what can be noticed of a second one is noticed before anything is removed. Also what happens to
//! names that were given away twice. Method: a store in memory that replaces; scripted actors at
//! chosen calls; the result is read by a machine that knows nothing.

use std::path::Path;
use std::sync::Arc;

use drumlin::format::generation::{Condemned, Removal};
use drumlin::format::snapshot::Snapshot;
use drumlin::id::SnapshotId;
use drumlin::maintain::check::{CheckReport, Level};
use drumlin::maintain::prune::{Exclusion, PruneOptions};
use drumlin::repo::gc::generations::{self, GenerationState, Generations};
use drumlin::repo::gc::intents;
use drumlin::repo::objects::layout;
use drumlin::repo::snapshots::trash::{self, ForgetNote, TRASH_WINDOW_S};
use drumlin::repo::{Error, Repository, snapshots};
use drumlin::store::{Action, Class, Key, Store};

use crate::support::fixture::{
    Meanwhile, TestRepo, fast_folder, noise, now, run_backup, run_check,
};
use crate::support::operations::prune;
use crate::support::sound::keys_of;

/// A repository in a store that replaces objects, with a snapshot.
fn repo() -> (TestRepo, Snapshot) {
    let repo = TestRepo::new();
    repo.memory.replace_objects();
    repo.write("a", &noise(0, 200_000));
    let snapshot = repo.snapshot();
    (repo, snapshot)
}

fn forget(repository: &Repository, snapshot: &Snapshot) {
    let word = str::to_owned;
    let note = ForgetNote {
        host: word("h"),
        user: word("u"),
        program: word("p"),
        now: now(),
        reason: word("named"),
    };
    trash::forget(repository, &snapshot.id, Some(snapshots::chain_hash(snapshot)), &note).unwrap();
}

/// Options that drop what is forgotten at once and leave nothing unused.
fn at_once(exclusion: Exclusion) -> PruneOptions {
    PruneOptions {
        exclusion,
        trash_window_s: 0,
        max_unused_permille: 0,
        grace_s: 0,
        ..PruneOptions::new(now())
    }
}

fn check(repo: &TestRepo) -> CheckReport {
    let cache = fast_folder();
    run_check(&repo.open_in(repo.memory.clone(), cache.path()).unwrap(), Level::Full)
}

fn open(repo: &TestRepo, store: &Arc<Meanwhile>, cache: &Path) -> Arc<Repository> {
    repo.open_in(store.clone(), cache).unwrap()
}

#[test]
fn no_session_expires_and_all_else_is_collected() {
    let repo = TestRepo::new();
    repo.memory.replace_objects();
    repo.write("a", &noise(1, 200_000));
    let cache = fast_folder();
    let dead =
        run_backup(&repo.open_in(repo.memory.clone(), cache.path()).unwrap(), &repo.source())
            .snapshot
            .unwrap();
    // As if the session had died before its commit, months ago.
    repo.memory.remove(&layout::snapshot_key(&dead.id)).unwrap();
    repo.write("a", &noise(2, 200_000));
    let first = repo.snapshot();
    repo.write("a", &noise(3, 200_000));
    repo.snapshot();
    forget(&repo.open(), &first);
    let mut later = at_once(Exclusion::User);
    later.now.seconds += 100 * 24 * 3600;
    let report = prune(&repo.open(), later).unwrap();
    assert_eq!((&report.dropped[..], report.running_sessions), (&[first.id][..], 1), "{report:#?}");
    assert!(report.removed_bytes > 200_000, "{report:#?}");
    let left = intents::read_all(&repo.open()).unwrap();
    assert!(left.keys().eq([&dead.id]), "those of sessions that are over are gone");
    assert!(repo.memory.stat(&layout::snapshot_key(&dead.id)).is_err(), "the slot was not burnt");
    assert!(check(&repo).is_sound() && repo.memory.replaced().is_empty());
    // On a store that excludes, the session is over.
    prune(&repo.open(), PruneOptions { exclusion: Exclusion::Store, ..later }).unwrap();
    assert!(intents::read_all(&repo.open()).unwrap().is_empty());
}

#[test]
fn a_verdict_that_is_not_its_own_stops_a_collector() {
    for is_disturbed in [false, true] {
        let (repo, first) = repo();
        forget(&repo.open(), &first);
        let before = keys_of(&repo.memory, Class::Data);
        // The first record that it reads is what it has written itself, right before it removes
        // anything.
        let store = Arc::new(Meanwhile::new(repo.memory.clone(), (Action::Read, Class::Collector)));
        let cache = fast_folder();
        let other = repo.open();
        store.plan(move || {
            if is_disturbed {
                let removal = Removal { packs: Vec::new(), snapshots: vec![SnapshotId([7; 16])] };
                generations::decide(&other, 1, now(), Some(removal)).unwrap();
            }
        });
        let pruned = prune(&open(&repo, &store, cache.path()), at_once(Exclusion::User));
        assert!(store.is_done());
        if is_disturbed {
            assert!(matches!(pruned, Err(Error::SecondCollector { generation: 1 })), "{pruned:?}");
            assert_eq!(keys_of(&repo.memory, Class::Data), before);
            assert!(repo.memory.stat(&layout::snapshot_key(&first.id)).is_ok());
        } else {
            assert_eq!(pruned.unwrap().dropped, [first.id]);
        }
    }
}

/// A slot that was burnt while the store still excluded others is seen before the commit, and not
/// overwritten.
#[test]
fn a_burnt_slot_is_not_replaced() {
    let (repo, first) = repo();
    repo.write("a", &noise(1, 40_000));
    let before_look =
        Arc::new(Meanwhile::new(repo.memory.clone(), (Action::List, Class::Snapshots)));
    let before_intent =
        Arc::new(Meanwhile::new(before_look.clone(), (Action::Create, Class::Intents)));
    let cache = fast_folder();
    let backup = open(&repo, &before_intent, cache.path());
    let (collector, armed) = (repo.open(), before_look.clone());
    before_intent.plan(move || {
        armed.plan(move || {
            for (session, found) in intents::read_all(&collector).unwrap() {
                if session != first.id {
                    intents::burn_slot(&collector, &session).unwrap();
                    intents::remove(&collector, &session, &found.numbers).unwrap();
                }
            }
        });
    });
    let snapshot = run_backup(&backup, &repo.source()).snapshot.unwrap();
    assert!(before_intent.is_done() && before_look.is_done());
    assert_eq!(repo.memory.replaced(), []);
    let slots = snapshots::list_ids(&repo.open()).unwrap();
    assert!(
        slots.len() == 3 && slots.contains(&snapshot.id),
        "two snapshots and a burnt slot: {slots:?}"
    );
    let report = check(&repo);
    assert!(report.is_sound() && report.counts.snapshots == 2, "{report:#?}");
}

/// Where the collector cannot be stopped, nobody is told that a snapshot is back which it may drop.
#[test]
fn a_snapshot_about_which_a_collector_decides_is_not_brought_back() {
    for is_exclusive in [false, true] {
        let (repo, first) = repo();
        let repository = repo.open();
        forget(&repository, &first);
        let removal = Removal { packs: Vec::new(), snapshots: vec![first.id] };
        generations::condemn(&repository, 1, now(), Condemned { oldest: 1, removal }).unwrap();
        let back =
            trash::undelete(&repository, &first.id, TRASH_WINDOW_S, now(), &|| Ok(is_exclusive));
        let state = Generations::list(&repository).unwrap().state(&repository, 1).unwrap();
        let is_forgotten = repo.memory.stat(&layout::tombstone_key(&first.id)).is_ok();
        if is_exclusive {
            assert!(
                back.is_ok() && state == GenerationState::Cancelled && !is_forgotten,
                "{back:?}, {state:?}"
            );
        } else {
            assert!(matches!(back, Err(Error::Undecided { id }) if id == first.id), "{back:?}");
            assert!(matches!(state, GenerationState::Open(_)) && is_forgotten, "{state:?}");
        }
    }
}

/// A collector slept until its generation was trimmed, so that its names are free again: it
/// notices, and starts over.
#[test]
fn a_generation_that_was_trimmed_is_over() {
    let repo = TestRepo::new();
    repo.write("a", &noise(0, 200_000));
    let first = repo.snapshot();
    forget(&repo.open(), &first);
    let store = Arc::new(Meanwhile::new(repo.memory.clone(), (Action::Create, Class::Collector)));
    let cache = fast_folder();
    let other = repo.open();
    store.plan(move || {
        for number in [1, 2] {
            let condemned = Condemned { oldest: number, removal: Removal::default() };
            assert!(generations::condemn(&other, number, now(), condemned).unwrap());
            assert!(generations::decide(&other, number, now(), None).unwrap().is_none());
        }
        generations::trim(&other, 1).unwrap();
    });
    let report = prune(&open(&repo, &store, cache.path()), at_once(Exclusion::Store)).unwrap();
    assert!(store.is_done());
    assert_eq!(
        (&report.generations[..], &report.dropped[..]),
        (&[3][..], &[first.id][..]),
        "{report:#?}"
    );
}

/// The creation of a pack is sent again, by the store or on the way, after the pack was removed:
/// nothing may lie there, because whoever was removing it may go on doing so at any time.
#[test]
fn packs_that_come_back_are_no_place_for_anything() {
    let repo = TestRepo::new();
    repo.write("a", &noise(0, 200_000));
    let first = repo.snapshot();
    let is_stored = |key: &Key| matches!(key.class, Class::Data | Class::Meta | Class::Index);
    let keys: Vec<Key> = repo.memory.keys().into_iter().filter(is_stored).collect();
    let late: Vec<(Key, Vec<u8>)> =
        keys.into_iter().map(|key| (key.clone(), repo.memory.read(&key).unwrap())).collect();
    forget(&repo.open(), &first);
    prune(&repo.open(), at_once(Exclusion::Store)).unwrap();
    late.iter().for_each(|(key, bytes)| repo.memory.create(key, bytes).unwrap());
    repo.snapshot();
    prune(&repo.open(), at_once(Exclusion::Store)).unwrap();
    let back: Vec<&Key> =
        late.iter().map(|(key, _)| key).filter(|key| repo.memory.stat(key).is_ok()).collect();
    assert!(back.is_empty(), "{back:?}");
    let report = check(&repo);
    assert!(report.is_sound() && report.counts.snapshots == 1, "{report:#?}");
}
