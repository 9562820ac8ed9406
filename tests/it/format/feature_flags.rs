//! Goal: a repository that a later version changed is read as far as that is safe, and never
//! written by a program that does not know what it would break.
//!
//! Method: put a second config with unknown features into the store, as a later version would.

use drumlin::container::seal_single;
use drumlin::crypto::slot::Secret;
use drumlin::format::config::Config;
use drumlin::format::container::ContainerKind;
use drumlin::format::slot::{Slot, SlotInfo, SlotKdf};
use drumlin::repo::open::keys;
use drumlin::repo::{Error, OpenOptions, Repository, snapshots};
use drumlin::store::{Action, Class, Key, Store};
use zeroize::Zeroizing;

use crate::support::fixture::{TestRepo, let_time_pass, secret, write};

/// Creates the repository's next config, changed by `change`.
fn next_config(repo: &TestRepo, change: impl FnOnce(&mut Config)) {
    let mut config = Config { number: 2, ..repo.repository.config().clone() };
    change(&mut config);
    let sealed = seal_single(
        repo.repository.keyring_for_tests().records().seal(),
        ContainerKind::Config,
        &[1; 32],
        &config.encode(),
    );
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
        repo.backup_with(crate::support::fixture::options(&[repo.source()], "host")).is_err(),
        "opened before the change, from copies"
    );
    assert_eq!(repo.store.counts().of_action(Action::Create).calls, creates);
    repo.reopen();
    assert_eq!(snapshots::list(&repo.repository).unwrap().len(), 1, "reading goes on");
    assert!(repo.backup_with(crate::support::fixture::options(&[repo.source()], "host")).is_err());
    let info = SlotInfo { label: String::new(), created: crate::support::fixture::now() };
    assert!(keys::add(&repo.repository, &info, &secret(), SlotKdf::KeyFile).is_err());
    assert_eq!(snapshots::list(&repo.repository).unwrap().len(), 1);
}

#[test]
fn what_needs_a_newer_program_is_not_read() {
    let repo = TestRepo::new();
    next_config(&repo, |config| config.read_critical = 1);
    let options =
        OpenOptions { cache_dir: repo.scratch.path().join("other"), prefer_cached: false };
    let opened = Repository::open(repo.store.clone(), &secret(), &options);
    assert!(matches!(opened.err(), Some(Error::Malformed { .. })));
}

#[test]
fn a_slot_that_nobody_made_does_not_count_as_the_last_one() {
    let repo = TestRepo::new();
    let slot = keys::list(&repo.repository).unwrap().remove(0);
    let stranger = TestRepo::new();
    let foreign = keys::list(&stranger.repository).unwrap().remove(0).name;
    let bytes = stranger.store.read(&Key::new(Class::Keys, foreign.clone())).unwrap();
    repo.store.create(&Key::new(Class::Keys, foreign.clone()), &bytes).unwrap();
    assert!(matches!(keys::remove(&repo.repository, &slot.name), Err(Error::LastKey)));
    let info = SlotInfo { label: "second".to_owned(), created: crate::support::fixture::now() };
    let second = Secret::KeyFile(Zeroizing::new([8; 32]));
    keys::add(&repo.repository, &info, &second, SlotKdf::KeyFile).unwrap();
    keys::remove(&repo.repository, &slot.name).unwrap();
}

#[test]
fn the_slot_that_costs_least_is_tried_first() {
    let repo = TestRepo::new();
    let id = keys::list(&repo.repository).unwrap()[0].name.clone();
    let mut planted = Slot::decode(&repo.store.read(&Key::new(Class::Keys, id)).unwrap()).unwrap();
    // Trying any secret on this one takes minutes and 4 GiB.
    planted.kdf = SlotKdf::Passphrase { memory_kib: 4 << 20, passes: 64, lanes: 1 };
    repo.store.create(&Key::new(Class::Keys, "00".repeat(16)), &planted.encode()).unwrap();
    let own = Secret::Passphrase(Zeroizing::new("own".to_owned()));
    let info = SlotInfo { label: "own".to_owned(), created: crate::support::fixture::now() };
    keys::add(
        &repo.repository,
        &info,
        &own,
        SlotKdf::Passphrase { memory_kib: 64, passes: 1, lanes: 1 },
    )
    .unwrap();
    let options =
        OpenOptions { cache_dir: repo.scratch.path().join("other"), prefer_cached: false };
    Repository::open(repo.store.clone(), &own, &options).unwrap();
}

/// Neither is any reason not to open, to list, or to remove the others; and each can be removed by
/// its name.
#[test]
fn damaged_and_foreign_slots_stand_in_nobodys_way() {
    let mut repo = TestRepo::new();
    let own = keys::list(&repo.repository).unwrap().remove(0).name;
    let good = repo.store.read(&Key::new(Class::Keys, own.clone())).unwrap();
    let stranger = TestRepo::new();
    let foreign = keys::list(&stranger.repository).unwrap().remove(0).name;
    let cut = good[..40].to_vec();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    // The foreign one opens with the same secret; the names make each of them the first to be
    // tried.
    let planted = [
        (foreign.clone(), stranger.store.read(&Key::new(Class::Keys, foreign.clone())).unwrap()),
        (
            format!("00{}", "1".repeat(30)),
            stranger.store.read(&Key::new(Class::Keys, foreign)).unwrap(),
        ),
        (format!("00{}", "2".repeat(30)), cut),
        (format!("00{}", "3".repeat(30)), Vec::new()),
        (format!("00{}", "4".repeat(30)), vec![0; 100_000]),
        (format!("00{}", "5".repeat(30)), good),
        (format!("ff{}", "6".repeat(30)), flipped),
        ("notes.txt".to_owned(), b"not a key".to_vec()),
    ];
    for (name, bytes) in &planted {
        repo.store.create(&Key::new(Class::Keys, name.clone()), bytes).unwrap();
    }
    std::fs::remove_dir_all(repo.cache()).unwrap();
    repo.reopen();
    let listed = keys::list(&repo.repository).unwrap();
    assert_eq!(listed.len(), planted.len() + 1);
    for slot in &listed {
        assert_eq!(slot.info.is_ok(), slot.name == own, "{}", slot.name);
    }
    assert!(matches!(keys::remove(&repo.repository, "00"), Err(Error::Ambiguous { .. })));
    for (name, _) in planted {
        // The copy of the good one under another name opens as well, so it may be the one in use.
        assert_eq!(keys::remove(&repo.repository, &name).unwrap(), name);
    }
    let left = keys::list(&repo.repository).unwrap();
    assert_eq!(left.iter().map(|slot| &slot.name).collect::<Vec<_>>(), [&own]);
    repo.open_in(repo.memory.clone(), repo.scratch.path()).unwrap();
}

/// If nothing opens, the reason is told.
#[test]
fn a_damaged_slot_is_told_when_no_other_opens() {
    let repo = TestRepo::new();
    let own = Key::new(Class::Keys, keys::list(&repo.repository).unwrap().remove(0).name);
    let bytes = repo.memory.read(&own).unwrap();
    repo.memory.overwrite(&own, &bytes[..30]);
    let opened = repo.open_in(repo.memory.clone(), &repo.scratch.path().join("other"));
    assert!(
        matches!(opened.err(), Some(Error::Malformed { object, .. }) if object == own.to_string())
    );
}
