//! Goal: what anybody can put into `config/` locks no reader out, and lets no writer overlook a
//! config that must be obeyed.
//!
//! Method: a kept repository with every kind of object that does not count. Spec:
//! `format-spec/09-config.md`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use drumlin::container::seal_single;
use drumlin::crypto::keyring::Keyring;
use drumlin::format::config::Config;
use drumlin::format::container::ContainerKind;
use drumlin::id::RepositoryId;
use drumlin::maintain::prune::PruneOptions;
use drumlin::monitor::Monitor;
use drumlin::repo::{OpenOptions, Reader, Repository, Trees, snapshots};
use drumlin::store::local::LocalStore;

use super::repositories::{folder, secret};
use crate::support::fixture::{copy_folder, files_below, now, options};
use crate::support::python_with_modules;

/// The objects that do not count, highest first.
const VOID: [&str; 6] = ["18446744073709551615", "6", "5", "4", "3", "2"];

/// Adds to `config/` what does not count.
pub fn plant(repository: &Repository, configs: &Path) {
    let config = |number| Config { number, ..repository.config().clone() }.encode();
    let sealed = |keyring: &Keyring, number| {
        seal_single(keyring.records().seal(), ContainerKind::Config, &[7; 32], &config(number))
            .bytes
    };
    let id = repository.config().repository;
    let right = sealed(repository.keyring_for_tests(), 5);
    let put = |name: &str, bytes: &[u8]| fs::write(configs.join(name), bytes).unwrap();
    put("2", b"garbage");
    put("3", &sealed(&Keyring::new(&[9; 32], id), 3));
    put("4", &fs::read(configs.join("1")).unwrap());
    put("5", &right[..right.len() - 1]);
    put("6", &sealed(&Keyring::new(&[9; 32], RepositoryId([9; 16])), 6));
    put("18446744073709551615", b"");
    // These are no names of configs.
    put("x", b"garbage");
    put("07", &fs::read(configs.join("1")).unwrap());
}

fn open(place: &Path, cache: &Path) -> Arc<Repository> {
    let options = OpenOptions { cache_dir: cache.to_owned(), prefer_cached: false };
    Repository::open(Arc::new(LocalStore::open(place).unwrap()), &secret("void"), &options).unwrap()
}

#[test]
fn void_configs_are_passed_over_and_named() {
    let cache = tempfile::tempdir().unwrap();
    let place = folder("void").join("repository");
    let repository = open(&place, cache.path());
    assert_eq!(repository.void_configs(), VOID.map(|name| format!("config/{name}")));
    assert_eq!(repository.config().number, 1);
    let [_, last] = &snapshots::list(&repository).unwrap()[..] else { panic!("two snapshots") };
    assert!(
        Trees::new(Reader::new(&repository).unwrap())
            .entries(&last.root)
            .all(|entry| entry.is_ok())
    );
    let password = cache.path().join("password");
    fs::write(&password, super::decoders::PASSPHRASE).unwrap();
    let reader = super::folder().join("../reader.py");
    let mut command = Command::new(python_with_modules());
    let listed = command
        .arg(reader)
        .arg("--password-file")
        .args([&password, &place])
        .arg("list")
        .output()
        .unwrap();
    let said = String::from_utf8(listed.stderr).unwrap();
    assert!(listed.status.success(), "{said}");
    assert_eq!(String::from_utf8(listed.stdout).unwrap().lines().count(), 2);
    let named: Vec<&str> =
        said.lines().map(|line| line.split(" is void").next().unwrap()).collect();
    assert_eq!(named, VOID.map(|name| format!("config/{name}")));
}

fn objects(place: &Path) -> BTreeSet<PathBuf> {
    files_below(place).into_iter().collect()
}

/// Tries to back up and to prune a copy of the repository; returns what they say.
fn write_to(place: &Path, scratch: &Path) -> [Result<(), String>; 2] {
    let source = scratch.join("source");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("new"), "content that is not there yet").unwrap();
    let repository = open(place, &scratch.join("cache"));
    let backup =
        drumlin::backup::run(&repository, options(&[source], "another host"), &Monitor::default());
    let repository = open(place, &scratch.join("cache"));
    let pruned =
        drumlin::maintain::prune::run(&repository, &PruneOptions::new(now()), &Monitor::default());
    [
        backup.map(drop).map_err(|error| error.to_string()),
        pruned.map(drop).map_err(|error| error.to_string()),
    ]
}

#[test]
fn each_void_config_stops_writers_and_collectors() {
    for only in VOID {
        let scratch = tempfile::tempdir().unwrap();
        let place = scratch.path().join("repository");
        copy_folder(&folder("void").join("repository"), &place);
        VOID.iter()
            .filter(|name| **name != only)
            .for_each(|name| fs::remove_file(place.join("config").join(name)).unwrap());
        let before = objects(&place);
        for said in write_to(&place, scratch.path()) {
            let said = said.expect_err(only);
            assert!(said.contains(&format!("config/{only}")), "{said}");
        }
        assert_eq!(objects(&place), before, "beside config/{only} nothing is created");
    }
}

#[test]
fn names_that_are_no_numbers_stop_nobody() {
    let scratch = tempfile::tempdir().unwrap();
    let place = scratch.path().join("repository");
    copy_folder(&folder("void").join("repository"), &place);
    VOID.iter().for_each(|name| fs::remove_file(place.join("config").join(name)).unwrap());
    assert!(place.join("config/x").exists() && place.join("config/07").exists());
    assert_eq!(open(&place, &scratch.path().join("cache")).void_configs(), [""; 0]);
    assert_eq!(write_to(&place, scratch.path()), [Ok(()), Ok(())]);
}
