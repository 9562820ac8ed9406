//! Goal: index runs that come late, or a second time, are taken for what they are. Method: a
//! repository in memory, of which another machine's objects are taken away and put back by hand.

use std::fs;

use drumlin::maintain::check::Level;
use drumlin::repo::Reader;
use drumlin::store::{Class, Key, Store};

use crate::support::fixture::{TestRepo, fast_folder, noise, run_backup, run_check, write};
use crate::support::operations::{at_once, prune};

/// A session that slept while a collector removed its packs writes its run all the same. Nobody
/// relies on that run: not the session that learns of it on its way, and none of those that begin
/// with what that one has noted.
#[test]
fn a_run_that_comes_after_its_packs_were_removed_is_never_relied_on() {
    let repo = TestRepo::new();
    repo.write("own", &noise(1, 50_000));
    repo.snapshot();
    // Another machine stores packs, and sleeps before anything names them.
    let (known, cache, elsewhere) = (repo.memory.keys(), fast_folder(), fast_folder());
    write(&elsewhere.path().join("shared"), &noise(2, 300_000));
    run_backup(&repo.open_in(repo.memory.clone(), cache.path()).unwrap(), elsewhere.path());
    let new: Vec<Key> = repo.memory.keys().into_iter().filter(|key| !known.contains(key)).collect();
    let (packs, named): (Vec<Key>, Vec<Key>) =
        new.into_iter().partition(|key| matches!(key.class, Class::Data | Class::Meta));
    let runs: Vec<(Key, Vec<u8>)> = named
        .iter()
        .filter(|key| key.class == Class::Index)
        .map(|key| (key.clone(), repo.memory.read(key).unwrap()))
        .collect();
    named.iter().for_each(|key| repo.memory.remove(key).unwrap());
    assert!(prune(&repo.open(), at_once()).unwrap().removed_packs > 0);
    assert!(!packs.is_empty() && packs.iter().all(|key| repo.memory.stat(key).is_err()));
    assert!(!runs.is_empty());
    // This machine knows of the removal, which concerns nothing that it knows.
    repo.write("more", &noise(3, 50_000));
    repo.snapshot();
    runs.iter().for_each(|(key, bytes)| repo.memory.overwrite(key, bytes));
    // So much is new that the session looks at the index once more on its way.
    repo.write("large", &noise(4, 20 << 20));
    repo.snapshot();
    repo.write("copy", &noise(2, 300_000));
    repo.snapshot();
    let report =
        run_check(&repo.open_in(repo.memory.clone(), fast_folder().path()).unwrap(), Level::Full);
    assert!(report.is_sound(), "{report:#?}");
}

/// Who walks through trees marks by the numbers of records: they stay, whatever becomes of local
/// copies meanwhile.
#[test]
fn a_run_that_is_fetched_again_keeps_its_numbers() {
    let repo = TestRepo::new();
    for round in 0..3 {
        repo.write(&format!("file-{round}"), &noise(round, 20_000));
        repo.snapshot();
    }
    let reader = Reader::new(&repo.open()).unwrap();
    let numbers = || {
        let mut all: Vec<_> = reader
            .index()
            .numbered_runs()
            .into_iter()
            .map(|(first, run)| (run.name(), first))
            .collect();
        all.sort_unstable();
        all
    };
    let (before, count) = (numbers(), reader.index().record_count());
    assert_eq!(before.len(), 3);
    let copy = repo.copies().join("index").join(before[1].0.to_hex());
    let mut bytes = fs::read(&copy).unwrap();
    bytes.iter_mut().skip(130).for_each(|byte| *byte ^= 1);
    fs::write(&copy, bytes).unwrap();
    assert!(reader.drop_bad_copies());
    assert_eq!(numbers().len(), 2);
    reader.sync().unwrap();
    assert_eq!((numbers(), reader.index().record_count()), (before, count));
}
