//! Goal: a forgotten snapshot is hidden and comes back whole; nothing but a tombstone that holds
//! hides a snapshot, and no single wrong clock shortens the time in which it can come back. Method:
//! a repository in memory with clocks that the test sets; tombstones sealed by hand; slots removed
//! as a collector will.

use std::sync::Arc;

use drumlin::container::{open_single, seal_single};
use drumlin::crypto::keyring::Keyring;
use drumlin::format::codec;
use drumlin::format::container::ContainerKind;
use drumlin::format::entry::Timestamp;
use drumlin::format::snapshot::Snapshot;
use drumlin::format::tombstone::{Tombstone, TombstoneSlot};
use drumlin::maintain::check::Level;
use drumlin::repo::objects::layout;
use drumlin::repo::snapshots::trash::{self, ForgetNote, TRASH_WINDOW_S, TrashClock};
use drumlin::repo::{Error, Repository, snapshots};
use drumlin::store::{Key, Store};
use proptest::prelude::*;

use crate::support::fixture::{TestRepo, fast_folder, options, run_check};

const NOW: Timestamp = Timestamp { seconds: 1_800_000_000, nanos: 0 };

fn note(now: Timestamp) -> ForgetNote {
    let word = str::to_owned;
    ForgetNote {
        host: word("host"),
        user: word("user"),
        program: word("test"),
        now,
        reason: word("named"),
    }
}

fn forget(repository: &Repository, snapshot: &Snapshot) -> bool {
    trash::forget(repository, &snapshot.id, Some(snapshots::chain_hash(snapshot)), &note(NOW))
        .unwrap()
}

/// A repository with three snapshots.
fn three() -> (TestRepo, Arc<Repository>, [Snapshot; 3]) {
    let repo = TestRepo::new();
    repo.memory.set_clock(NOW.seconds);
    let shots = ["a", "b", "c"].map(|name| {
        repo.write(name, name.as_bytes());
        repo.snapshot()
    });
    let repository = repo.open();
    (repo, repository, shots)
}

fn after(days: i64) -> Timestamp {
    Timestamp { seconds: NOW.seconds + days * 86_400, nanos: 0 }
}

fn ids(repository: &Repository) -> Vec<drumlin::id::SnapshotId> {
    snapshots::list(repository).unwrap().iter().map(|snapshot| snapshot.id).collect()
}

/// Puts a tombstone in place that the program would not make.
fn plant(
    repo: &TestRepo,
    shot: &Snapshot,
    keyring: &Keyring,
    tombstone: &Tombstone,
    spoil: impl FnOnce(&mut TombstoneSlot),
) {
    let signed = tombstone.encode();
    let signature = keyring.sign().sign_tombstone(&signed);
    let mut slot = TombstoneSlot { signed, signature };
    spoil(&mut slot);
    let repository = repo.open();
    let sealed = seal_single(
        repository.keyring_for_tests().records().seal(),
        ContainerKind::Tombstone,
        &[1; 32],
        &codec::encode(&slot),
    );
    repo.memory.overwrite(&layout::tombstone_key(&shot.id), &sealed.bytes);
}

fn tombstone(repository: &Repository, shot: &Snapshot) -> Tombstone {
    Tombstone {
        snapshot: shot.id,
        repository: repository.config().repository,
        hash: None,
        host: String::new(),
        user: String::new(),
        program: String::new(),
        forgotten: NOW,
        reason: String::new(),
        extensions: Vec::new(),
        writer: repository.writer(),
    }
}

#[test]
fn a_forgotten_snapshot_is_hidden_and_comes_back() {
    let (repo, repository, [first, second, third]) = three();
    assert!(forget(&repository, &second));
    assert!(!forget(&repository, &second), "forgetting twice is no error and changes nothing");
    assert_eq!(ids(&repository), [first.id, third.id]);
    let listing = snapshots::listing(&repository).unwrap();
    assert_eq!(listing.snapshots.len(), 2);
    let [forgotten] = &listing.forgotten[..] else {
        panic!("{listing:?}", listing = listing.forgotten)
    };
    assert_eq!(forgotten.snapshot.as_ref().unwrap(), &second);
    assert_eq!(
        (forgotten.tombstone.reason.as_str(), forgotten.tombstone.forgotten),
        ("named", NOW)
    );
    assert_eq!(forgotten.tombstone.hash, Some(snapshots::chain_hash(&second)));
    assert_eq!(forgotten.stored_s, Some(NOW.seconds));
    let report = repo.check(Level::Full);
    assert!(report.is_sound(), "{report:#?}");
    assert_eq!((report.counts.snapshots, report.counts.forgotten), (3, 1));
    assert!(report.notices.is_empty(), "{:?}", report.notices);

    trash::undelete(&repository, &second.id, TRASH_WINDOW_S, after(6), &|| Ok(true)).unwrap();
    assert_eq!(ids(&repository), [first.id, second.id, third.id]);
    assert!(matches!(
        trash::undelete(&repository, &second.id, TRASH_WINDOW_S, NOW, &|| Ok(true)),
        Err(Error::NotForgotten { .. })
    ));
    // The name of its tombstone is used again.
    assert!(forget(&repository, &second));
    assert_eq!(ids(&repository), [first.id, third.id]);
}

#[test]
fn another_machine_sees_it_too_and_drops_its_copy_when_it_is_back() {
    let (repo, repository, [first, ..]) = three();
    forget(&repository, &first);
    let cache = fast_folder();
    let other = repo.open_in(repo.memory.clone(), cache.path()).unwrap();
    assert_eq!(ids(&other).len(), 2);
    assert!(trash::load_cached(&other, &first.id).is_some());
    trash::undelete(&repository, &first.id, TRASH_WINDOW_S, NOW, &|| Ok(true)).unwrap();
    assert_eq!(ids(&other).len(), 3);
    assert!(trash::load_cached(&other, &first.id).is_none());
}

#[test]
fn a_tombstone_that_does_not_hold_hides_nothing_and_is_reported() {
    let (repo, repository, [first, second, third]) = three();
    let own = tombstone(&repository, &first);
    let stranger = Keyring::new(&[9; 32], repository.config().repository);
    // Signed by a stranger in his own name, and in ours; about another snapshot; changed after
    // signing.
    let foreign = Tombstone { writer: stranger.sign().public(), ..own.clone() };
    plant(&repo, &first, &stranger, &foreign, |_| {});
    plant(&repo, &second, &stranger, &Tombstone { snapshot: second.id, ..own.clone() }, |_| {});
    plant(&repo, &third, repository.keyring_for_tests(), &own, |_| {});
    for wave in 0..3 {
        match wave {
            1 => plant(&repo, &first, repository.keyring_for_tests(), &own, |slot| {
                slot.signature[5] ^= 1
            }),
            2 => repo.memory.overwrite(&layout::tombstone_key(&first.id), b"no container"),
            _ => {}
        }
        assert_eq!(ids(&repository), [first.id, second.id, third.id], "wave {wave}");
        let listing = snapshots::listing(&repository).unwrap();
        assert_eq!((listing.forgotten.len(), listing.faults.len()), (0, 3), "wave {wave}");
        let report = repo.check(Level::Quick);
        let named = |id| {
            report
                .problems
                .items
                .iter()
                .any(|problem| problem.object == layout::tombstone_key(id).to_string())
        };
        assert!([&first.id, &second.id, &third.id].into_iter().all(named), "{report:#?}");
        assert_eq!((report.problems.count, report.counts.forgotten), (3, 0));
    }
    // It stands in the way of forgetting, which says so; bringing back clears it away.
    assert!(trash::forget(&repository, &first.id, None, &note(NOW)).unwrap_err().is_damage());
    trash::undelete(&repository, &first.id, TRASH_WINDOW_S, NOW, &|| Ok(true)).unwrap();
    assert!(forget(&repository, &first));
    assert_eq!(ids(&repository), [second.id, third.id]);
}

#[test]
fn a_tombstone_of_absurd_length_is_not_read() {
    let (repo, repository, [first, ..]) = three();
    repo.memory.overwrite(&layout::tombstone_key(&first.id), &vec![0; 1 << 20]);
    assert!(matches!(trash::load(&repository, &first.id), Err(Error::WrongContent { .. })));
    let mut note = note(NOW);
    note.reason = "x".repeat(70_000);
    repo.memory.remove(&layout::tombstone_key(&first.id)).unwrap();
    assert!(
        trash::forget(&repository, &first.id, None, &note).is_err(),
        "nothing is stored that no reader takes"
    );
    assert_eq!(ids(&repository).len(), 3);
}

#[test]
fn every_bit_of_a_tombstone_counts() {
    let (repo, repository, [first, ..]) = three();
    forget(&repository, &first);
    let key = layout::tombstone_key(&first.id);
    let sound = repo.memory.read(&key).unwrap();
    let signed = open_single(
        repository.keyring_for_tests().records().open(),
        ContainerKind::Tombstone,
        &sound,
    )
    .unwrap();
    assert!(signed.len() > 150);
    for at in 0..sound.len() {
        let mut spoilt = sound.clone();
        spoilt[at] ^= 1 << (at % 8);
        repo.memory.overwrite(&key, &spoilt);
        assert!(trash::load(&repository, &first.id).unwrap_err().is_damage(), "byte {at}");
    }
    for len in 0..sound.len() {
        repo.memory.overwrite(&key, &sound[..len]);
        assert!(trash::load(&repository, &first.id).unwrap_err().is_damage(), "cut at {len}");
    }
}

#[test]
fn what_a_collector_removed_is_no_fault() {
    let (repo, repository, [first, second, third]) = three();
    forget(&repository, &first);
    forget(&repository, &second);
    let remove = |key: Key| repo.memory.remove(&key).unwrap();
    remove(layout::snapshot_key(&first.id));
    remove(layout::snapshot_key(&second.id));
    let listing = snapshots::listing(&repository).unwrap();
    assert_eq!(
        (listing.snapshots.len(), listing.forgotten.len(), listing.removed.len()),
        (1, 0, 2)
    );
    // This machine saw them, and the third names the second as the one before it.
    let report = repo.check(Level::Structure);
    assert!(report.is_sound(), "{report:#?}");
    assert!(matches!(
        trash::undelete(&repository, &second.id, TRASH_WINDOW_S, NOW, &|| Ok(true)),
        Err(Error::Collected { .. })
    ));
    // The next backup continues the chain, here and where nothing is known.
    let fourth = repo.snapshot();
    assert_eq!((fourth.sequence, fourth.previous), (4, Some(snapshots::chain_hash(&third))));
    let cache = fast_folder();
    let other = repo.open_in(repo.memory.clone(), cache.path()).unwrap();
    assert!(run_check(&other, Level::Quick).is_sound());
    // Without its tombstone a snapshot that was seen is missed.
    forget(&repository, &third);
    trash::undelete(&repository, &third.id, TRASH_WINDOW_S, NOW, &|| Ok(true)).unwrap();
    remove(layout::snapshot_key(&third.id));
    assert_eq!(repo.check(Level::Quick).problems.count, 2, "gone, and missed in the chain");
}

#[test]
fn a_backup_does_not_call_itself_unchanged_since_a_forgotten_snapshot() {
    let (repo, repository, [_, second, third]) = three();
    let backup = || {
        drumlin::backup::run(&repository, options(&[repo.source()], "host"), &Default::default())
            .unwrap()
    };
    assert_eq!(backup().unchanged_since, Some(third.id));
    forget(&repository, &third);
    let taken = backup().snapshot.expect("what is in the trash is no backup");
    assert_eq!(
        (taken.parent, taken.sequence),
        (Some(second.id), 4),
        "compared with the newest that is left"
    );
    assert_eq!(taken.root, third.root);
    assert!(repo.check(Level::Full).is_sound());
}

#[test]
fn the_window_ends_by_both_clocks() {
    let (repo, repository, [first, ..]) = three();
    forget(&repository, &first);
    let listing = snapshots::listing(&repository).unwrap();
    let (forgotten, window) = (&listing.forgotten[0], TRASH_WINDOW_S);
    let clock = |host: i64, store: i64| TrashClock {
        now: after(host),
        store_s: Some(after(store).seconds),
    };
    assert_eq!(forgotten.ends(window), after(7));
    for (host, store, over) in [
        (0, 0, false),
        (6, 6, false),
        (7, 7, true),
        (400, 6, false),
        (6, 400, false),
        (-400, 8, false),
    ] {
        assert_eq!(
            forgotten.has_expired(window, clock(host, store)),
            over,
            "host {host}, store {store}"
        );
    }
    assert!(
        !forgotten.has_expired(window, TrashClock { now: after(99), store_s: None }),
        "no time is no proof"
    );
    assert!(forgotten.has_expired(0, clock(-5, -5)), "an empty window is over");
    // The clock of this host is ten days ahead; the store, where nothing happened since, knows of
    // no such time.
    assert!(matches!(
        trash::undelete(&repository, &first.id, window, after(10), &|| Ok(true)),
        Ok(())
    ));
    forget(&repository, &first);
    repo.memory.set_clock(after(8).seconds);
    repo.snapshot();
    assert!(matches!(
        trash::undelete(&repository, &first.id, window, after(8), &|| Ok(true)),
        Err(Error::Collected { .. })
    ));
    assert!(trash::undelete(&repository, &first.id, window, after(6), &|| Ok(true)).is_ok());
}

proptest! {
    /// Of three clocks one goes wrong by any amount at any of the moments at which it is read.
    #[test]
    fn one_wrong_clock_never_shortens_the_window(error in -2_000_000_000i64..2_000_000_000, wrong in 0..4, passed in 0i64..TRASH_WINDOW_S) {
        let real = NOW.seconds;
        let off = |clock: i32| if clock == wrong { error } else { 0 };
        // 0: the host that forgets; 1: the store at that time; 2: the host that collects; 3: the
        // store at that time.
        let stored = real + off(1);
        let newest_before = real;
        let forgotten = (real + off(0)).max(newest_before);
        let (repo, repository, [first, ..]) = three();
        repo.memory.set_clock(stored);
        let at = Timestamp { seconds: forgotten, nanos: 0 };
        trash::forget(&repository, &first.id, None, &note(at)).unwrap();
        let now = Timestamp { seconds: real + passed + off(2), nanos: 0 };
        let clock = TrashClock { now, store_s: Some(real + passed + off(3)) };
        let listing = snapshots::listing(&repository).unwrap();
        prop_assert!(!listing.forgotten[0].has_expired(TRASH_WINDOW_S, clock));
    }
}
