//! Goal: a repository that was put back to an older state, or copied, is not confused with what it
//! was or with its copy. Method: two machines, one of which knows the time before; a copy in
//! another folder, used by the same machine.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use drumlin::format::snapshot::Snapshot;
use drumlin::maintain::check::Level;
use drumlin::repo::gc::generations::{GenerationState, Generations};
use drumlin::repo::{InitOptions, OpenOptions, Repository, snapshots};
use drumlin::store::layers::fault::{Effect, Fault, FaultStore};
use drumlin::store::local::LocalStore;
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Action, Class, ErrorKind, Key, Store};

use crate::support::fixture::{
    TestRepo, copy_folder, noise, now, run_backup, run_check, secret, write,
};
use crate::support::operations::{at_once, prune, put_in_trash};

fn snapshot_of(repo: &TestRepo, round: u64) -> Snapshot {
    // More than one pack, so that one of them stays.
    repo.write("same", &noise(0, 9 << 20));
    repo.write("file", &noise(round, 400_000));
    repo.snapshot()
}

fn objects_of(store: &MemoryStore) -> Vec<(Key, Vec<u8>)> {
    store.keys().into_iter().map(|key| (key.clone(), store.read(&key).unwrap())).collect()
}

fn put_back(store: &MemoryStore, objects: &[(Key, Vec<u8>)]) {
    store.keys().iter().for_each(|key| store.remove(key).unwrap());
    objects.iter().for_each(|(key, bytes)| store.create(key, bytes).unwrap());
}

/// A repository with two snapshots, the first of which was forgotten and dropped by this machine;
/// then it was put back.
fn put_back_after_a_generation() -> (TestRepo, [Snapshot; 2]) {
    let repo = TestRepo::new();
    repo.memory.set_clock(1_000);
    let shots = [1, 2].map(|round| snapshot_of(&repo, round));
    let before = objects_of(&repo.memory);
    put_in_trash(&repo.open(), &shots[0]);
    assert!(prune(&repo.open(), at_once()).unwrap().removed_packs > 0);
    assert!(repo.check(Level::Structure).is_sound(), "this machine has the index of that time");
    repo.memory.set_clock(2_000);
    put_back(&repo.memory, &before);
    (repo, shots)
}

#[test]
fn the_index_is_that_of_the_store_at_once() {
    let (repo, _) = put_back_after_a_generation();
    let report = repo.check(Level::Full);
    assert!(report.is_sound() && report.counts.snapshots == 2, "{report:#?}");
    let (repo, _) = put_back_after_a_generation();
    let plan =
        prune(&repo.open(), drumlin::maintain::prune::PruneOptions { dry_run: true, ..at_once() })
            .unwrap()
            .remaining;
    assert!(plan.is_empty(), "{plan:#?}");
}

/// Another machine opens generation 1 once more, decides to drop the other snapshot, and dies
/// before it removes anything.
#[test]
fn a_generation_is_not_taken_for_one_that_had_its_number() {
    let (repo, shots) = put_back_after_a_generation();
    let dies = Fault {
        action: Some(Action::Create),
        class: Some(Class::Collector),
        call: 2,
        effect: Effect::Before(ErrorKind::Other),
        then_dead: true,
    };
    let other_cache = tempfile::tempdir().unwrap();
    put_in_trash(&repo.open_in(repo.memory.clone(), other_cache.path()).unwrap(), &shots[1]);
    let dying = Arc::new(FaultStore::new(repo.memory.clone(), vec![dies]));
    prune(&repo.open_in(dying, other_cache.path()).unwrap(), at_once()).unwrap_err();
    let repository = repo.open();
    let state = Generations::list(&repository).unwrap().state(&repository, 1).unwrap();
    let GenerationState::Unfinished(removal) = state else { panic!("{state:?}") };
    assert_eq!(removal.snapshots, [shots[1].id]);
    prune(&repository, at_once()).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let report = run_check(&repo.open_in(repo.memory.clone(), cache.path()).unwrap(), Level::Full);
    assert!(report.is_sound() && report.counts.snapshots == 1, "{report:#?}");
    let left = snapshots::list(&repository).unwrap();
    assert_eq!(left.iter().map(|snapshot| snapshot.id).collect::<Vec<_>>(), [shots[0].id]);
}

#[test]
fn copies_of_a_repository_go_their_own_ways() {
    let scratch = tempfile::tempdir().unwrap();
    let (source, cache) = (scratch.path().join("source"), scratch.path().join("cache"));
    let folders = ["one", "two"].map(|name| scratch.path().join(name));
    let options = InitOptions {
        profile: drumlin::format::config::Profile::Small,
        secret: secret(),
        kdf: drumlin::format::slot::SlotKdf::KeyFile,
        label: "test".to_owned(),
        now: now(),
        program: "test".to_owned(),
        cache_dir: cache.clone(),
    };
    Repository::init(Arc::new(LocalStore::open_or_make(&folders[0]).unwrap()), &options).unwrap();
    let open = |folder: &Path, cache: &Path| {
        let store = Arc::new(LocalStore::open(folder).unwrap());
        Repository::open(
            store,
            &secret(),
            &OpenOptions { cache_dir: cache.to_owned(), prefer_cached: true },
        )
        .unwrap()
    };
    let back_up = |folder: &Path, round| {
        write(&source.join("file"), &noise(round, 300_000));
        run_backup(&open(folder, &cache), &source).snapshot.unwrap()
    };
    let shots = [1, 2, 3].map(|round| back_up(&folders[0], round));
    copy_folder(&folders[0], &folders[1]);
    // Each drops another snapshot, takes one of its own, and then drops one more.
    for (at, folder) in folders.iter().enumerate() {
        put_in_trash(&open(folder, &cache), &shots[at]);
        assert!(prune(&open(folder, &cache), at_once()).unwrap().removed_packs > 0);
        back_up(folder, 10 + at as u64);
    }
    for folder in &folders {
        put_in_trash(&open(folder, &cache), &shots[2]);
        assert!(prune(&open(folder, &cache), at_once()).unwrap().removed_packs > 0);
        for cache in [
            cache.as_path(),
            &scratch.path().join(format!("fresh-{}", folder.file_name().unwrap().display())),
        ] {
            let report = run_check(&open(folder, cache), Level::Full);
            assert!(report.is_sound() && report.counts.snapshots == 2, "{report:#?}");
        }
    }
    fs::remove_dir_all(&folders[0]).unwrap();
}
