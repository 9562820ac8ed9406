//! Ends that are damaged: here, in the store, or on the way.

use std::fs;
use std::sync::{Arc, Mutex};

use drumlin::format::container::HEADER_LEN_BYTES;
use drumlin::repo::{self, Reader, Repository};
use drumlin::store::layers::fault::{Effect, Fault, FaultStore};
use drumlin::store::{Action, Class, Store};

use super::{LONG, Long, copies, index_reads, list, only_run};
use crate::support::fixture::fast_folder;

/// Looks for the root of the snapshot as a command would.
fn find_root(long: &Long, repository: &Arc<Repository>) -> repo::Result<()> {
    Reader::for_lookup(repository)?
        .locate(&long.snapshot.root)
        .map(|found| assert!(found.is_some()))
}

#[test]
fn a_local_copy_of_an_end_may_be_damaged_anywhere() {
    let long = Long::new(LONG);
    let cache = fast_folder();
    let (store, repository) = long.open(cache.path());
    find_root(&long, &repository).unwrap();
    let copy = copies(cache.path(), "tail").remove(0);
    let sound = fs::read(&copy).unwrap();
    let mut fetched = index_reads(&store).calls;
    for at in (0..HEADER_LEN_BYTES + 8)
        .chain((HEADER_LEN_BYTES + 8..sound.len()).step_by(7))
        .chain(sound.len() - 64..sound.len())
    {
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&copy, bytes).unwrap();
        find_root(&long, &repository).unwrap_or_else(|error| panic!("byte {at}: {error:?}"));
        assert!(fs::read(&copy).unwrap() == sound, "byte {at} was noticed");
        fetched += 2;
        assert_eq!(index_reads(&store).calls, fetched, "byte {at}");
    }
    for len in [0, 7, 100, HEADER_LEN_BYTES + 8, sound.len() / 2, sound.len() - 1] {
        fs::write(&copy, &sound[..len]).unwrap();
        find_root(&long, &repository).unwrap();
        assert!(fs::read(&copy).unwrap() == sound, "{len} bytes");
    }
    fs::remove_file(&copy).unwrap();
    find_root(&long, &repository).unwrap();
}

#[test]
fn damage_in_the_store_is_named_and_never_believed() {
    let long = Long::new(LONG);
    let name = long.run.name.rsplit('/').next().unwrap();
    let sound = long.repo.memory.read(&long.run).unwrap();
    let toc = only_run(&Reader::new(&long.repo.open()).unwrap()).toc().clone();
    let with_flip = |at: usize, act: &dyn Fn(&Arc<Repository>)| {
        let (store, mut bytes) = (Arc::new(long.repo.memory.image()), sound.clone());
        bytes[at] ^= 1 << (at % 8);
        store.overwrite(&long.run, &bytes);
        let cache = fast_folder();
        act(&long.open_over(store, cache.path()).1);
    };
    for at in (0..HEADER_LEN_BYTES)
        .step_by(3)
        .chain((toc.meta_offset() as usize..sound.len()).step_by(37))
        .chain(sound.len() - 9..sound.len())
    {
        with_flip(at, &|repository| {
            // Whoever looks goes on without it, and tells it once; whoever relies on it does not.
            let told = Arc::new(Mutex::new(Vec::new()));
            let tells = told.clone();
            let tell = told.clone();
            repository.report_skipped_runs(move |error| {
                tell.lock().unwrap().push((error.is_damage(), error.to_string()))
            });
            for _ in 0..2 {
                match Reader::for_lookup(repository).unwrap().locate(&long.snapshot.root) {
                    Ok(found) => {
                        assert!(found.is_none() && told.lock().unwrap().len() == 1, "byte {at}")
                    }
                    // A block is opened when it is looked into.
                    Err(error) => {
                        tells.lock().unwrap().push((error.is_damage(), error.to_string()))
                    }
                }
            }
            let told = told.lock().unwrap();
            assert!(
                !told.is_empty()
                    && told.iter().all(|(is_damage, what)| *is_damage && what.contains(name)),
                "byte {at}: {told:?}"
            );
            let error = Reader::new(repository).err().expect("it is needed");
            assert!(error.is_damage() && error.to_string().contains(name), "byte {at}: {error:?}");
        });
    }
    let block = toc.block(7);
    let bytes = block.offset as usize..block.offset as usize + block.stored_len();
    for at in bytes.clone().step_by(997).chain([bytes.end - 1]) {
        with_flip(at, &|repository| {
            let reader = Reader::for_lookup(repository).unwrap();
            let error = reader.locate(&long.id_in(7)).expect_err("it is needed");
            assert!(error.is_damage() && error.to_string().contains(name), "byte {at}: {error:?}");
            assert!(long.is_at(&reader, &long.id_in(8)));
            assert_eq!(list(&reader, &long.snapshot), long.contents.len());
        });
    }
}

/// A wrong bit on the way is no damage: whatever it hits is fetched again.
#[test]
fn what_comes_damaged_once_is_fetched_again() {
    let long = Long::new(LONG);
    // In the trailer, in the header, and in a block.
    let bit = (long.len_bytes / 16) as usize * 8 - 200;
    for call in 0..3 {
        let effect = Effect::Flip { bit };
        let fault = Fault {
            action: Some(Action::Read),
            class: Some(Class::Index),
            call,
            effect,
            then_dead: false,
        };
        let cache = fast_folder();
        let store = Arc::new(FaultStore::new(long.repo.memory.clone(), vec![fault]));
        let (_, repository) = long.open_over(store, cache.path());
        assert!(
            long.is_at(&Reader::for_lookup(&repository).unwrap(), &long.id_in(0)),
            "call {call}"
        );
    }
}
