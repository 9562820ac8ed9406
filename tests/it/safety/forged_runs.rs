//! Goal: an index run that lies about where chunks are (a client with a key that may add objects
//! can make one) destroys nothing, and hides nothing that another place still has. What is kept in
//! two places honestly costs an honest collector little. Method: runs are sealed by hand, so that
//! they hide all others, or are asked before them.

use std::fs;
use std::sync::Arc;

use drumlin::format::run::PackClass;
use drumlin::format::snapshot::Snapshot;
use drumlin::id::ChunkId;
use drumlin::maintain::check::Level;
use drumlin::maintain::prune::PruneOptions;
use drumlin::maintain::repair::{self, RepairOptions};
use drumlin::monitor::Monitor;
use drumlin::repo::{Error, Reader, Repository, snapshots};
use drumlin::restore::{self, RestoreOptions};
use drumlin::store::layers::count::CountStore;
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Action, Class, Key, Store};
use tempfile::TempDir;

use crate::support::fixture::{TestRepo, fast_folder, noise, now, run_backup, run_check};
use crate::support::lying_runs::{Lie, forge_run, packs};
use crate::support::operations::{at_once, prune, put_in_trash, repair_options};

fn new_machine(repo: &TestRepo, store: &Arc<MemoryStore>) -> (TempDir, Arc<Repository>) {
    let cache = fast_folder();
    let repository = repo.open_in(store.clone(), cache.path()).unwrap();
    (cache, repository)
}

/// Three backups, each of a file that only it has.
fn three() -> (TestRepo, [Snapshot; 3]) {
    let repo = TestRepo::new();
    let shots = [0, 1, 2].map(|round| {
        repo.write("only", &noise(round, 150_000 + round as usize));
        repo.snapshot()
    });
    (repo, shots)
}

/// Puts a lying run into the store.
fn plant(repo: &TestRepo, store: &Arc<MemoryStore>, lie: Lie, hides: bool) -> Key {
    let (_cache, forger) = new_machine(repo, store);
    let (key, bytes) = forge_run(&forger, &**store, lie, hides);
    store.overwrite(&key, &bytes);
    key
}

fn count(store: &MemoryStore, class: Class) -> usize {
    store.list(class, "").unwrap().len()
}

fn assert_whole(repo: &TestRepo, store: &Arc<MemoryStore>, snapshots: u64) {
    let (_cache, machine) = new_machine(repo, store);
    let report = run_check(&machine, Level::Full);
    assert!(report.is_sound() && report.counts.snapshots == snapshots, "{report:#?}");
}

/// What a run says is looked at before anything goes because of it. The run is named, and without
/// it all is as it was.
#[test]
fn a_run_that_lies_about_places_destroys_nothing() {
    for lie in [Lie::AnotherChunk, Lie::NoSegment] {
        for hides in [true, false] {
            let (repo, _) = three();
            let planted = plant(&repo, &repo.memory, lie, hides);
            let before =
                [Class::Data, Class::Meta, Class::Index].map(|class| count(&repo.memory, class));
            for options in [at_once(), PruneOptions::new(now())] {
                let (_cache, stranger) = new_machine(&repo, &repo.memory);
                // Who knew the honest runs before asks them first.
                for machine in [stranger].into_iter().chain(hides.then(|| repo.open())) {
                    let refused = prune(&machine, options).unwrap_err();
                    let is_named = matches!(&refused, Error::Unjustified { object, .. } if *object == planted.to_string());
                    assert!(is_named, "{lie:?} {hides}: {refused:?} instead of {planted}");
                }
            }
            assert_eq!(
                [Class::Data, Class::Meta, Class::Index].map(|class| count(&repo.memory, class)),
                before
            );
            assert_eq!(count(&repo.memory, Class::Collector), 0, "nothing was condemned");
            repo.memory.remove(&planted).unwrap();
            assert_whole(&repo, &repo.memory, 3);
            prune(&repo.open(), at_once()).unwrap();
            assert_whole(&repo, &repo.memory, 3);
        }
    }
}

/// What packs say of themselves counts for a repair: nothing that one of them has is lost because a
/// run is wrong about it.
#[test]
fn a_run_that_lies_about_places_costs_a_repair_nothing() {
    for lie in [Lie::AnotherChunk, Lie::NoSegment, Lie::OwnPack] {
        for hides in [true, false] {
            let (repo, shots) = three();
            plant(&repo, &repo.memory, lie, hides);
            let (_cache, stranger) = new_machine(&repo, &repo.memory);
            let options = RepairOptions { snapshots: true, ..repair_options(Level::Full) };
            let planned = repair::plan(&stranger, &options, &Monitor::default()).unwrap();
            planned.apply(&Monitor::default()).unwrap();
            let (_cache, machine) = new_machine(&repo, &repo.memory);
            assert_eq!(
                snapshots::list_ids(&machine).unwrap().len(),
                shots.len(),
                "{lie:?} {hides}: none is replaced"
            );
            assert_whole(&repo, &repo.memory, 3);
            prune(&machine, at_once()).unwrap();
            assert_whole(&repo, &repo.memory, 3);
        }
    }
}

/// Whoever takes part in what another one began looks, too.
#[test]
fn a_run_that_lies_is_not_believed_by_whoever_finishes_anothers_work() {
    use drumlin::format::generation::{Condemned, Removal, Victim};
    use drumlin::repo::gc::generations;
    for is_decided in [true, false] {
        let (repo, _) = three();
        plant(&repo, &repo.memory, Lie::AnotherChunk, true);
        let (_cache, other) = new_machine(&repo, &repo.memory);
        let mut victims: Vec<Victim> = packs(&other, &*repo.memory)
            .iter()
            .filter(|placed| placed.pack.class == PackClass::Data)
            .skip(1)
            .map(|placed| Victim { class: PackClass::Data, name: placed.pack.name })
            .collect();
        victims.sort();
        let removal = Removal { packs: victims, snapshots: Vec::new() };
        generations::condemn(&other, 1, now(), Condemned { oldest: 1, removal: removal.clone() })
            .unwrap();
        if is_decided {
            generations::decide(&other, 1, now(), Some(removal)).unwrap();
        }
        let before = count(&repo.memory, Class::Data);
        let (_cache, machine) = new_machine(&repo, &repo.memory);
        assert!(matches!(prune(&machine, at_once()), Err(Error::Unjustified { .. })));
        assert_eq!(count(&repo.memory, Class::Data), before);
    }
}

/// Two machines that store the same at once store it twice. One place goes, but not the only good
/// one.
#[test]
fn what_is_stored_twice_is_read_before_one_place_of_it_goes() {
    let repo = TestRepo::new();
    repo.write("a", &noise(1, 150_000));
    let mut shots = vec![repo.snapshot()];
    let alone: Vec<Key> = repo.memory.keys();
    let is_of_first = |key: &Key| alone.contains(key);
    repo.write("b", &noise(2, 300_000));
    let elsewhere = Arc::new(repo.memory.image());
    shots.push(repo.snapshot());
    let (_cache, other) = new_machine(&repo, &elsewhere);
    run_backup(&other, &repo.source());
    for key in elsewhere.keys().into_iter().filter(|key| repo.memory.stat(key).is_err()) {
        repo.memory.overwrite(&key, &elsewhere.read(&key).unwrap());
    }
    let all = count(&repo.memory, Class::Data);
    let image = Arc::new(repo.memory.image());
    let (_cache, machine) = new_machine(&repo, &image);
    assert!(
        prune(&machine, at_once()).unwrap().removed_packs > 0 && count(&image, Class::Data) < all
    );
    assert_whole(&repo, &image, 3);
    // Whichever of them is damaged, the other stays.
    let keys: Vec<Key> =
        repo.memory.keys().into_iter().filter(|key| key.class == Class::Data).collect();
    let mut outcomes = [0, 0];
    for key in keys {
        let image = Arc::new(repo.memory.image());
        let mut bytes = image.read(&key).unwrap();
        bytes[50_000..].iter_mut().take(20).for_each(|byte| *byte ^= 1);
        image.overwrite(&key, &bytes);
        let (_cache, machine) = new_machine(&repo, &image);
        match prune(&machine, at_once()) {
            Ok(_) => outcomes[0] += 1,
            Err(error) => {
                assert!(error.is_damage() && count(&image, Class::Data) == all, "{error:?}");
                outcomes[1] += 1;
            }
        }
        let (_cache, machine) = new_machine(&repo, &image);
        // What still is there twice can be restored whole.
        let damaged: u64 =
            shots.iter().map(|shot| restored(&machine, shot, &fast_folder()).0).sum();
        assert_eq!(damaged > 0, is_of_first(&key), "{key}");
    }
    assert!(outcomes[1] > 0, "{outcomes:?}");
}

/// Restores a snapshot; returns how many files are damaged, and how much was told.
fn restored(machine: &Arc<Repository>, shot: &Snapshot, target: &TempDir) -> (u64, usize) {
    let monitor = Monitor::default();
    let options = RestoreOptions {
        target: target.path().to_owned(),
        threads: 2,
        ..RestoreOptions::default()
    };
    let report = restore::run(machine, shot, &options, &monitor).unwrap();
    (report.damaged, monitor.problems().len())
}

/// A pack that nothing needs is opened by one request before it goes, and no content is read.
#[test]
fn to_open_what_goes_takes_one_request_each() {
    let (repo, shots) = three();
    shots[..2].iter().for_each(|shot| put_in_trash(&repo.open(), shot));
    let counted = Arc::new(CountStore::new(repo.memory.clone()));
    let cache = fast_folder();
    let machine = repo.open_in(counted.clone(), cache.path()).unwrap();
    let report = prune(&machine, at_once()).unwrap();
    assert_eq!(report.stored_bytes, 0, "{report:#?}");
    let data_packs = 3 - count(&repo.memory, Class::Data) as u64;
    let read = counted.counts().of(Action::Read, Class::Data);
    assert_eq!((data_packs, read.calls), (2, 2), "{read:?}");
    assert!(read.bytes <= 2 * (64 << 10) + 100, "{read:?}");
}

/// A reader that is led to a wrong place looks at the others that the index has, in every way of
/// reading.
#[test]
fn what_a_wrong_record_hides_is_read_from_another_place() {
    for lie in [Lie::AnotherChunk, Lie::NoSegment] {
        let (repo, shots) = three();
        let kept: Vec<Vec<u8>> =
            (0..3).map(|round| noise(round, 150_000 + round as usize)).collect();
        plant(&repo, &repo.memory, lie, false);
        let (_cache, machine) = new_machine(&repo, &repo.memory);
        let reader = Reader::new(&machine).unwrap();
        let chunks: Vec<(drumlin::format::container::ChunkKind, ChunkId)> =
            packs(&machine, &*repo.memory)
                .iter()
                .flat_map(|placed| &placed.toc.segments)
                .flat_map(|segment| segment.chunks.iter().map(|chunk| (chunk.kind, chunk.id)))
                .collect();
        assert!(chunks.iter().all(|(kind, id)| reader.read_chunk(*kind, id).is_ok()), "{lie:?}");
        let mut told = 0;
        for (shot, content) in shots.iter().zip(&kept) {
            let target = fast_folder();
            let (_cache, stranger) = new_machine(&repo, &repo.memory);
            let (damaged, problems) = restored(&stranger, shot, &target);
            assert_eq!(damaged, 0, "{lie:?}");
            told += problems;
            let path = repo.source().join("only");
            let restored = target.path().join(path.strip_prefix("/").unwrap());
            assert!(fs::read(restored).unwrap() == *content);
        }
        assert!(told >= 2, "what was passed over is told");
    }
}

/// A chunk whose only other record is wrong as well is damaged, not misread.
#[test]
fn what_no_place_has_is_damaged() {
    let (repo, shots) = three();
    plant(&repo, &repo.memory, Lie::AnotherChunk, true);
    let (_cache, machine) = new_machine(&repo, &repo.memory);
    let damaged: u64 = shots.iter().map(|shot| restored(&machine, shot, &fast_folder()).0).sum();
    assert_eq!(damaged, 2);
}
