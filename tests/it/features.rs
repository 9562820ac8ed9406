//! Goal: a repository that a later version changed is read as far as that is safe, and never written by a program that does
//! not know what it would break.
//!
//! Method: put a second config with unknown features into the store, as a later version would.

use drumlin::container::seal_single;
use drumlin::crypto::slot::Secret;
use drumlin::format::config::Config;
use drumlin::format::container::ContainerKind;
use drumlin::format::slot::{Slot, SlotInfo, SlotKdf};
use drumlin::repo::{Error, OpenOptions, Repository, keys, snapshots};
use drumlin::store::{Action, Class, Key, Store};
use zeroize::Zeroizing;

use super::support::{TestRepo, let_time_pass, secret, write};

/// Creates the repository's next config, changed by `change`.
fn next_config(repo: &TestRepo, change: impl FnOnce(&mut Config)) {
    let mut config = Config { number: 2, ..repo.repository.config().clone() };
    change(&mut config);
    let sealed = seal_single(repo.repository.keyring(), ContainerKind::Config, &[1; 32], &config.encode());
    repo.store.create(&Key::new(Class::Config, "2"), &sealed.bytes).unwrap();
}

#[test]
fn what_needs_a_newer_program_is_not_written() {
    let mut repo = TestRepo::new();
    write(&repo.source().join("a"), b"one");
    repo.backup("host");
    repo.reopen();
    next_config(&repo, |config| config.write_critical = 1);
    let_time_pass();
    write(&repo.source().join("a"), b"two");
    let creates = repo.store.counts().of_action(Action::Create).calls;
    assert!(
        repo.backup_with(super::support::options(&[repo.source()], "host")).is_err(),
        "opened before the change, from copies"
    );
    assert_eq!(repo.store.counts().of_action(Action::Create).calls, creates);
    repo.reopen();
    assert_eq!(snapshots::list(&repo.repository).unwrap().len(), 1, "reading goes on");
    assert!(repo.backup_with(super::support::options(&[repo.source()], "host")).is_err());
    let info = SlotInfo { label: String::new(), created: super::support::now() };
    assert!(keys::add(&repo.repository, &info, (&secret(), SlotKdf::KeyFile)).is_err());
    assert_eq!(snapshots::list(&repo.repository).unwrap().len(), 1);
}

#[test]
fn what_needs_a_newer_program_is_not_read() {
    let repo = TestRepo::new();
    next_config(&repo, |config| config.read_critical = 1);
    let options = OpenOptions { cache_dir: repo.scratch.path().join("other"), prefer_cached: false };
    let opened = Repository::open(repo.store.clone(), &secret(), &options);
    assert!(matches!(opened.err(), Some(Error::Malformed { .. })));
}

#[test]
fn a_slot_that_nobody_made_does_not_count_as_the_last_one() {
    let repo = TestRepo::new();
    let slot = keys::list(&repo.repository).unwrap().remove(0);
    let stranger = TestRepo::new();
    let foreign = keys::list(&stranger.repository).unwrap().remove(0).id.to_hex();
    let bytes = stranger.store.read(&Key::new(Class::Keys, foreign.clone())).unwrap();
    repo.store.create(&Key::new(Class::Keys, foreign.clone()), &bytes).unwrap();
    assert!(matches!(keys::remove(&repo.repository, &slot.id.to_hex()), Err(Error::LastKey)));
    let info = SlotInfo { label: "second".to_owned(), created: super::support::now() };
    let second = Secret::KeyFile(Zeroizing::new([8; 32]));
    keys::add(&repo.repository, &info, (&second, SlotKdf::KeyFile)).unwrap();
    keys::remove(&repo.repository, &slot.id.to_hex()).unwrap();
}

#[test]
fn the_slot_that_costs_least_is_tried_first() {
    let repo = TestRepo::new();
    let id = keys::list(&repo.repository).unwrap()[0].id.to_hex();
    let mut planted = Slot::decode(&repo.store.read(&Key::new(Class::Keys, id)).unwrap()).unwrap();
    // Trying any secret on this one takes minutes and 4 GiB.
    planted.kdf = SlotKdf::Passphrase { memory_kib: 4 << 20, passes: 64, lanes: 1 };
    repo.store.create(&Key::new(Class::Keys, "00".repeat(16)), &planted.encode()).unwrap();
    let own = Secret::Passphrase(Zeroizing::new("own".to_owned()));
    let info = SlotInfo { label: "own".to_owned(), created: super::support::now() };
    keys::add(&repo.repository, &info, (&own, SlotKdf::Passphrase { memory_kib: 64, passes: 1, lanes: 1 })).unwrap();
    let options = OpenOptions { cache_dir: repo.scratch.path().join("other"), prefer_cached: false };
    Repository::open(repo.store.clone(), &own, &options).unwrap();
}
