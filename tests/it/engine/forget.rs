//! Goal: forgetting is safe at any moment, while other forgets and backups run, and never half done
//! for one snapshot. Method: the store fails at every call of a forget and of an undelete, before
//! and after its effect; two forgets and a backup run at once.

use std::sync::Arc;
use std::thread;

use drumlin::format::snapshot::Snapshot;
use drumlin::id::SnapshotId;
use drumlin::maintain::check::Level;
use drumlin::maintain::forget;
use drumlin::monitor::Monitor;
use drumlin::repo::snapshots;
use drumlin::repo::snapshots::trash::{self, TRASH_WINDOW_S};
use drumlin::repo::{Repository, Result};
use drumlin::store::layers::fault::{Effect, Fault, FaultStore};
use drumlin::store::{Action, Class, ErrorKind};

use crate::support::fixture::{
    Meanwhile, TestRepo, fast_folder, now, options, run_backup, run_check,
};
use crate::support::operations::{forget_by_policy, note, plan_of_policy};

/// A repository with this many snapshots, and a plan that keeps the newest two.
fn many(count: usize) -> (TestRepo, Vec<Snapshot>) {
    let repo = TestRepo::new();
    let take = |number: usize| {
        repo.write(&format!("{number}"), &[number as u8; 100]);
        repo.snapshot()
    };
    let shots = (0..count).map(take).collect();
    (repo, shots)
}

fn visible(repository: &Repository) -> Vec<SnapshotId> {
    snapshots::list(repository).unwrap().iter().map(|snapshot| snapshot.id).collect()
}

/// Runs `act` with a store that fails at each call in turn, and asks `after` about what is left.
fn stop_anywhere(
    repo: &TestRepo,
    act: impl Fn(&Repository) -> Result<()>,
    after: impl Fn(&Arc<Repository>),
) -> u64 {
    let run = |effect: Option<(u64, Effect)>| {
        let memory = Arc::new(repo.memory.image());
        let faults = effect.map(|(call, effect)| Fault {
            action: None,
            class: None,
            call,
            effect,
            then_dead: true,
        });
        let store = Arc::new(FaultStore::new(memory.clone(), faults.into_iter().collect()));
        let cache = fast_folder();
        let done =
            repo.open_in(store.clone(), cache.path()).and_then(|repository| act(&repository));
        // A snapshot that cannot be read stays, so a failed read alone is no failure of a forget.
        assert!(done.is_ok() || effect.is_some(), "at {effect:?}");
        after(&repo.open_in(memory, fast_folder().path()).unwrap());
        store.calls()
    };
    let calls = run(None);
    for call in 0..calls {
        run(Some((call, Effect::Before(ErrorKind::Other))));
        run(Some((call, Effect::After(ErrorKind::Other))));
    }
    calls
}

#[test]
fn a_forget_that_is_stopped_anywhere_is_finished_by_the_next() {
    let (repo, shots) = many(6);
    let ids: Vec<SnapshotId> = shots.iter().map(|shot| shot.id).collect();
    let calls = stop_anywhere(
        &repo,
        |repository| forget_by_policy(repository, "last 2").map(drop),
        |repository| {
            let left = visible(repository);
            assert!(ids.ends_with(&left) && left.len() >= 2, "the oldest go first, one by one");
            assert!(run_check(repository, Level::Structure).is_sound());
            forget_by_policy(repository, "last 2").unwrap();
            assert_eq!(visible(repository), ids[4..]);
        },
    );
    assert!(calls > 8, "{calls}");
}

#[test]
fn an_undelete_that_is_stopped_anywhere_is_finished_by_the_next() {
    let (repo, shots) = many(3);
    forget_by_policy(&repo.open(), "last 2").unwrap();
    let first = shots[0].id;
    stop_anywhere(
        &repo,
        |repository| trash::undelete(repository, &first, TRASH_WINDOW_S, now(), &|| Ok(true)),
        |repository| {
            let listing = snapshots::listing(repository).unwrap();
            assert_eq!(
                (listing.snapshots.len() + listing.forgotten.len(), listing.faults.len()),
                (3, 0)
            );
            if !listing.forgotten.is_empty() {
                trash::undelete(repository, &first, TRASH_WINDOW_S, now(), &|| Ok(true)).unwrap();
            }
            assert_eq!(visible(repository).len(), 3);
        },
    );
}

#[test]
fn forgets_at_once_do_not_disturb_each_other() {
    let (repo, shots) = many(12);
    let done = thread::scope(|scope| {
        let forgets = ["last 2", "last 6", "last 2"].map(|keep| {
            let repository = repo.open_in(repo.memory.clone(), fast_folder().path()).unwrap();
            scope.spawn(move || forget_by_policy(&repository, keep).unwrap())
        });
        forgets.map(|forget| forget.join().unwrap())
    });
    let mut all: Vec<SnapshotId> = done.concat();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!((count, all.len()), (10, 10), "each was forgotten by exactly one");
    assert_eq!(visible(&repo.open()), [shots[10].id, shots[11].id]);
}

#[test]
fn a_backup_whose_parent_is_forgotten_meanwhile_is_whole() {
    let (repo, shots) = many(3);
    let parent = shots[2].id;
    repo.write("new", b"something new");
    // Right before the commit's first object of the session, another machine forgets the parent.
    for class in [Class::Meta, Class::Index, Class::Intents, Class::Snapshots] {
        let store = Arc::new(Meanwhile::new(repo.memory.clone(), (Action::Create, class)));
        let other = repo.open_in(repo.memory.clone(), fast_folder().path()).unwrap();
        store.plan(move || {
            trash::forget(&other, &parent, None, &note()).unwrap();
        });
        let repository = repo.open_in(store.clone(), &repo.cache()).unwrap();
        let taken = run_backup(&repository, &repo.source()).snapshot.unwrap();
        assert!(store.is_done(), "{class:?}");
        let repository = repo.open_in(repo.memory.clone(), fast_folder().path()).unwrap();
        assert!(
            visible(&repository).contains(&taken.id) && !visible(&repository).contains(&parent)
        );
        let report = run_check(&repository, Level::Full);
        assert!(report.is_sound(), "{class:?}: {report:#?}");
        trash::undelete(&repository, &parent, TRASH_WINDOW_S, now(), &|| Ok(true)).unwrap();
        repo.write(&format!("more for {class:?}"), b"something else");
    }
}

#[test]
fn damaged_snapshots_are_never_forgotten_by_rules() {
    let (repo, shots) = many(4);
    let repository = repo.open();
    let key = drumlin::repo::objects::layout::snapshot_key(&shots[0].id);
    repo.memory.overwrite(&key, b"damaged");
    let repository_elsewhere = repo.open_in(repo.memory.clone(), fast_folder().path()).unwrap();
    let (listing, plan) = plan_of_policy(&repository_elsewhere, "last 2").unwrap();
    assert_eq!(listing.snapshots.iter().filter(|(_, snapshot)| snapshot.is_err()).count(), 1);
    assert_eq!(plan.counts(), (2, 1));
    assert_eq!(
        forget::apply(&repository, &plan, &note(), &Monitor::default()).unwrap(),
        [shots[1].id]
    );
}

/// What is in the trash is asked for once, whatever is listed later.
#[test]
fn listings_ask_for_each_tombstone_once() {
    let (repo, shots) = many(5);
    forget_by_policy(&repo.open(), "last 2").unwrap();
    let cache = fast_folder();
    let repository = repo.open_in(repo.store.clone(), cache.path()).unwrap();
    assert_eq!(snapshots::overview(&repository).unwrap().forgotten.len(), 3);
    let reads = || repo.store.counts().of(Action::Read, Class::Snapshots).calls;
    let before = reads();
    assert_eq!(snapshots::overview(&repository).unwrap().forgotten.len(), 3);
    assert_eq!(visible(&repository).len(), 2);
    assert_eq!(reads(), before);
    // For a window nobody trusts a copy.
    snapshots::listing(&repository).unwrap();
    assert_eq!(reads(), before + 3);
    assert_eq!(repo.store.counts().of(Action::Stat, Class::Snapshots).calls, 0);
    let report =
        drumlin::backup::run(&repository, options(&[repo.source()], "host"), &Monitor::default())
            .unwrap();
    assert_eq!(report.unchanged_since, Some(shots[4].id));
}
