//! Goal: a protected snapshot that a store hides is missed, whatever old tombstone the store puts
//! there; and no honest command leaves anything that looks like it. Method: a repository in memory,
//! whose objects are moved while the program does not look, and a collector that dies at each call.

use std::path::Path;
use std::sync::Arc;

use drumlin::format::snapshot::Snapshot;
use drumlin::id::SnapshotId;
use drumlin::maintain::check::Level;
use drumlin::maintain::repair::{self, RepairOptions};
use drumlin::monitor::Monitor;
use drumlin::repo::objects::layout;
use drumlin::repo::snapshots::trash::{self, TRASH_WINDOW_S};
use drumlin::repo::snapshots::{self, chains, protect};
use drumlin::repo::{Error, Repository, checked_open};
use drumlin::store::layers::count::CountStore;
use drumlin::store::layers::fault::{Effect, Fault, FaultStore};
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Action, Class, ErrorKind, Key, Store};

use super::replayed_objects::{history, new_machine, note};
use crate::support::fixture::{Meanwhile, TestRepo, fast_folder, now, run_backup, run_check};
use crate::support::operations::{at_once, prune, put_in_trash, repair_options};

fn protect(repository: &Repository, shot: &Snapshot) {
    assert!(protect::protect(repository, &shot.id, snapshots::chain_hash(shot), &note()).unwrap());
}

/// Four snapshots. The third was forgotten, brought back and protected; returned is its old
/// tombstone, too.
fn protected() -> (TestRepo, Vec<Snapshot>, (Key, Vec<u8>)) {
    let (repo, shots) = history(4);
    let (_cache, owner) = new_machine(&repo, &repo.memory);
    put_in_trash(&owner, &shots[2]);
    let tombstone = layout::tombstone_key(&shots[2].id);
    let bytes = repo.memory.read(&tombstone).unwrap();
    trash::undelete(&owner, &shots[2].id, TRASH_WINDOW_S, now(), &|| Ok(true)).unwrap();
    protect(&owner, &shots[2]);
    (repo, shots, (tombstone, bytes))
}

fn packs(store: &MemoryStore) -> usize {
    [Class::Data, Class::Meta].iter().map(|class| store.list(*class, "").unwrap().len()).sum()
}

fn is_rolled_back<T>(outcome: Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::RolledBack { .. }))
}

/// On a machine that has seen it, on one that has seen the tombstone too, and on a new one, where a
/// chain names it.
#[test]
fn an_old_tombstone_does_not_explain_where_a_protected_snapshot_went() {
    let (repo, shots, (tombstone, bytes)) = protected();
    let store = Arc::new(repo.memory.image());
    let (_cache, seen) = new_machine(&repo, &store);
    assert_eq!(snapshots::listing(&seen).unwrap().protected.len(), 1);
    let slot = layout::snapshot_key(&shots[2].id);
    let snapshot = store.read(&slot).unwrap();
    store.overwrite(&tombstone, &bytes);
    let (_copy, misled) = new_machine(&repo, &store);
    assert_eq!(snapshots::listing(&misled).unwrap().forgotten.len(), 1);
    store.remove(&slot).unwrap();
    let before = packs(&store);
    for known in [&seen, &misled] {
        assert!(
            is_rolled_back(prune(known, at_once()))
                && is_rolled_back(checked_open::check_rollback(known))
        );
        assert!(
            is_rolled_back(snapshots::listing(known)) && is_rolled_back(snapshots::list_all(known))
        );
        assert!(!run_check(known, Level::Structure).is_sound());
    }
    let (_new, stranger) = new_machine(&repo, &store);
    let listing = snapshots::overview(&stranger).unwrap();
    let after: Vec<_> =
        chains::name_hidden(&stranger, &listing).unwrap().iter().map(|one| one.id).collect();
    assert_eq!(after, [shots[3].id]);
    assert!(is_rolled_back(prune(&stranger, at_once())));
    assert!(!run_check(&stranger, Level::Structure).is_sound());
    assert_eq!(packs(&store), before);
    // Shown again, it is in the trash, and stays there.
    store.overwrite(&slot, &snapshot);
    assert_eq!(prune(&stranger, at_once()).unwrap().guarded, [shots[2].id]);
    assert!(run_check(&new_machine(&repo, &store).1, Level::Full).is_sound());
}

/// Whoever may add objects could make one for any snapshot that was dropped, and nobody would read
/// anything any more.
#[test]
fn a_protection_that_does_not_hold_hides_nothing() {
    let (repo, shots) = history(3);
    let (_cache, machine) = new_machine(&repo, &repo.memory);
    snapshots::listing(&machine).unwrap();
    protect(&repo.open(), &shots[2]);
    put_in_trash(&repo.open(), &shots[1]);
    prune(&repo.open(), at_once()).unwrap();
    let other = repo.memory.read(&layout::protection_key(&shots[2].id)).unwrap();
    for bytes in [b"garbage".to_vec(), Vec::new(), other] {
        repo.memory.overwrite(&layout::protection_key(&shots[1].id), &bytes);
        assert_eq!(snapshots::listing(&machine).unwrap().snapshots.len(), 2);
        checked_open::check_rollback(&machine).unwrap();
        prune(&machine, at_once()).unwrap();
        prune(&new_machine(&repo, &repo.memory).1, at_once()).unwrap();
    }
}

/// Names of protections that nobody made.
const MANY: u16 = 10_000;

/// Who may add objects can make any number of them, and tombstones beside them: reading them all
/// would stop every machine.
#[test]
fn many_protections_that_do_not_hold_are_not_read() {
    let (repo, shots) = history(4);
    put_in_trash(&repo.open(), &shots[1]);
    prune(&repo.open(), at_once()).unwrap();
    let known = fast_folder();
    let (read, told) = reads(&repo, known.path());
    assert_eq!(told, 0);
    let garbage = |id: &SnapshotId| repo.memory.overwrite(&layout::protection_key(id), b"garbage");
    let id_of = |number: u16| {
        SnapshotId(*blake3::hash(&number.to_be_bytes()).as_bytes().first_chunk().unwrap())
    };
    garbage(&shots[1].id);
    (0..MANY).for_each(|number| garbage(&id_of(number)));
    for at in [known.path(), fast_folder().path()] {
        let (more, told) = reads(&repo, at);
        assert!(more <= read + 8 && told == 0, "{more} reads, {read} without garbage");
    }
    // Each such tombstone may be what a gap is explained by: a new machine, which knows none, reads
    // them to collect, and no more.
    (0..MANY).for_each(|number| {
        repo.memory.overwrite(&layout::tombstone_key(&id_of(number)), b"garbage")
    });
    let (more, told) = reads(&repo, fast_folder().path());
    assert!(
        more <= read + 8 + u64::from(MANY) && told == 0,
        "{more} reads, {read} without garbage"
    );
    prune(&repo.open(), at_once()).unwrap();
    // What holds is found among them.
    let (store, hidden) = (&repo.memory, &shots[2]);
    put_in_trash(&repo.open(), hidden);
    let tombstone = store.read(&layout::tombstone_key(&hidden.id)).unwrap();
    trash::undelete(&repo.open(), &hidden.id, TRASH_WINDOW_S, now(), &|| Ok(true)).unwrap();
    protect(&repo.open(), hidden);
    store.overwrite(&layout::tombstone_key(&hidden.id), &tombstone);
    store.remove(&layout::snapshot_key(&hidden.id)).unwrap();
    assert!(is_rolled_back(prune(&new_machine(&repo, store).1, at_once())));
}

/// Returns how many marks are read by a machine that lists, collects and makes a snapshot, and how
/// many gaps it tells of.
fn reads(repo: &TestRepo, cache: &Path) -> (u64, usize) {
    let counted = Arc::new(CountStore::new(repo.memory.clone()));
    let machine = repo.open_in(counted.clone(), cache).unwrap();
    let before = counted.counts();
    checked_open::check_rollback(&machine).unwrap();
    let told =
        chains::name_hidden(&machine, &snapshots::overview(&machine).unwrap()).unwrap().len();
    snapshots::listing(&machine).unwrap();
    prune(&machine, at_once()).unwrap();
    run_backup(&machine, &repo.source());
    ((counted.counts() - before).of(Action::Read, Class::Snapshots).calls, told)
}

fn replace(repository: &Arc<Repository>) {
    let options = RepairOptions { snapshots: true, ..repair_options(Level::Full) };
    let replaced = repair::plan(repository, &options, &Monitor::default())
        .unwrap()
        .apply(&Monitor::default())
        .unwrap()
        .replaced;
    assert!(!replaced.is_empty());
}

/// What a repair replaced is dropped although it is protected. A collector that dies meanwhile
/// leaves nothing that looks hidden.
#[test]
fn a_collector_that_dies_leaves_no_protection_without_a_slot() {
    let (repo, shots) = history(3);
    protect(&repo.open(), &shots[1]);
    repo.memory
        .keys()
        .iter()
        .filter(|key| key.class == Class::Data)
        .for_each(|key| repo.memory.remove(key).unwrap());
    let (_cache, seen) = new_machine(&repo, &repo.memory);
    snapshots::listing(&seen).unwrap();
    replace(&repo.open());
    let run = |store: Arc<dyn Store>| prune(&repo.open_in(store, fast_folder().path())?, at_once());
    let counted = Arc::new(FaultStore::new(Arc::new(repo.memory.image()), Vec::new()));
    assert!(run(counted.clone()).unwrap().dropped.contains(&shots[1].id));
    let mut between = 0;
    for call in 0..counted.calls() {
        for effect in [Effect::Before(ErrorKind::Other), Effect::After(ErrorKind::Other)] {
            let what = format!("{effect:?} at call {call}");
            let image = Arc::new(repo.memory.image());
            let fault = Fault { action: None, class: None, call, effect, then_dead: true };
            assert!(run(Arc::new(FaultStore::new(image.clone(), vec![fault]))).is_err(), "{what}");
            let there = |key: Key| image.stat(&key).is_ok();
            let is_bare = there(layout::snapshot_key(&shots[1].id))
                && !there(layout::protection_key(&shots[1].id));
            between += u32::from(is_bare);
            let (_cache, machine) = new_machine(&repo, &image);
            crate::support::fixture::copy_folder(&repo.cache(), _cache.path());
            snapshots::listing(&machine).unwrap_or_else(|error| panic!("{what}: {error:?}"));
            checked_open::check_rollback(&machine).unwrap();
            prune(&machine, at_once()).unwrap_or_else(|error| panic!("{what}: {error:?}"));
            assert!(image.stat(&layout::protection_key(&shots[1].id)).is_err(), "{what}");
            assert!(image.stat(&layout::snapshot_key(&shots[1].id)).is_err(), "{what}");
        }
    }
    assert!(between > 0, "no collector died between the two");
}

/// Where the slot is lost, a repair takes the protection away with it.
#[test]
fn a_protected_snapshot_whose_slot_is_lost_is_replaced_and_missed_by_nobody() {
    let (repo, shots) = history(3);
    let machine = repo.open();
    protect(&machine, &shots[1]);
    repo.memory.remove(&layout::snapshot_key(&shots[1].id)).unwrap();
    replace(&machine);
    for machine in [machine, new_machine(&repo, &repo.memory).1] {
        let listing = snapshots::listing(&machine).unwrap();
        assert_eq!(
            (listing.snapshots.len(), listing.protected.len(), listing.bare.contains(&shots[1].id)),
            (3, 1, false)
        );
        prune(&machine, at_once()).unwrap();
        assert!(run_check(&machine, Level::Full).is_sound());
    }
}

/// Protecting and dropping at the same time: whoever protects is told, and nothing stays.
#[test]
fn who_protects_too_late_leaves_nothing() {
    let (repo, shots) = history(3);
    let late = Arc::new(Meanwhile::new(repo.memory.clone(), (Action::Create, Class::Snapshots)));
    let cache = fast_folder();
    let machine = repo.open_in(late.clone(), cache.path()).unwrap();
    machine.confirm_key().unwrap();
    let (collector, shot) = (repo.open(), shots[1].clone());
    late.plan(move || {
        put_in_trash(&collector, &shot);
        prune(&collector, at_once()).unwrap();
    });
    let outcome =
        protect::protect(&machine, &shots[1].id, snapshots::chain_hash(&shots[1]), &note());
    assert!(late.is_done() && matches!(outcome, Err(Error::Collected { .. })), "{outcome:?}");
    assert!(repo.memory.stat(&layout::protection_key(&shots[1].id)).is_err());
    assert_eq!(snapshots::listing(&repo.open()).unwrap().snapshots.len(), 2);
}
