//! Goal: whatever a store hides, replays or puts in place, and whatever a holder of a key adds, an
//! honest collector destroys nothing that nobody forgot, and an honest backup goes on or says why
//! not. Method: a repository in memory; records and marks of a copy that went its own way, or
//! sealed by hand, are put into the original.

use std::sync::Arc;

use drumlin::container::seal_single;
use drumlin::format::codec;
use drumlin::format::config::Profile;
use drumlin::format::container::ContainerKind;
use drumlin::format::entry::Timestamp;
use drumlin::format::generation::{Condemned, Removal, Victim};
use drumlin::format::limits::SEQUENCE_MAX;
use drumlin::format::run::PackClass;
use drumlin::format::slot::SlotKdf;
use drumlin::format::snapshot::{CommitSlot, Snapshot};
use drumlin::maintain::check::Level;
use drumlin::maintain::prune::PruneOptions;
use drumlin::repo::gc::{generations, intents};
use drumlin::repo::objects::layout;
use drumlin::repo::snapshots::trash::{self, ForgetNote, TRASH_WINDOW_S};
use drumlin::repo::snapshots::{self, protect};
use drumlin::repo::{Error, InitOptions, OpenOptions, Repository};
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Action, Class, Key, Store};
use tempfile::TempDir;

use crate::support::fixture::{
    Meanwhile, TestRepo, fast_folder, noise, now, run_backup, run_check, secret,
};
use crate::support::forger::Forger;
use crate::support::operations::{at_once, prune, put_in_trash};

/// A machine that knows nothing yet, at this store.
fn new_machine(repo: &TestRepo, store: &Arc<MemoryStore>) -> (TempDir, Arc<Repository>) {
    let cache = fast_folder();
    let repository = repo.open_in(store.clone(), cache.path()).unwrap();
    (cache, repository)
}

fn note() -> ForgetNote {
    let word = str::to_owned;
    ForgetNote {
        host: word("h"),
        user: word("u"),
        program: word("p"),
        now: now(),
        reason: word("named"),
    }
}

/// Three snapshots, each with content that only it has.
fn three() -> (TestRepo, [Snapshot; 3]) {
    let repo = TestRepo::new();
    let shots = [0, 1, 2].map(|round| {
        repo.write("same", &noise(9, 40_000));
        repo.write("only", &noise(round, 90_000 + round as usize));
        repo.snapshot()
    });
    (repo, shots)
}

/// Returns the names of all objects but intents, which go when their session is over.
fn objects(store: &MemoryStore) -> Vec<Key> {
    store.keys().into_iter().filter(|key| key.class != Class::Intents).collect()
}

fn copy_objects(from: &MemoryStore, to: &MemoryStore, class: Class) {
    for key in from.keys().into_iter().filter(|key| key.class == class) {
        to.overwrite(&key, &from.read(&key).unwrap());
    }
}

fn packs(store: &MemoryStore) -> Vec<Victim> {
    let of = |class: PackClass| {
        let listed = store.list(layout::store_class(class), "").unwrap();
        listed
            .into_iter()
            .map(move |object| Victim { class, name: layout::object_id(&object.name).unwrap() })
    };
    let mut found: Vec<Victim> = of(PackClass::Data).chain(of(PackClass::Meta)).collect();
    found.sort();
    found
}

#[track_caller]
fn assert_all_readable(repo: &TestRepo, count: u64) {
    let (_cache, machine) = new_machine(repo, &repo.memory);
    let report = run_check(&machine, Level::Full);
    assert_eq!(report.counts.snapshots, count, "{report:#?}");
    let of_content = |object: &str| !object.starts_with("gc/");
    assert!(
        !report.problems.items.iter().any(|problem| of_content(&problem.object)),
        "{report:#?}"
    );
}

/// A verdict that came from a copy, or from somebody with a key, is judged before it is carried
/// out.
#[test]
fn anothers_verdict_is_judged_first() {
    for is_protected in [false, true] {
        let (repo, [first, second, third]) = three();
        if is_protected {
            protect::protect(&repo.open(), &second.id, snapshots::chain_hash(&second), &note())
                .unwrap();
        }
        let copy = Arc::new(repo.memory.image());
        let (_cache, owner_of_copy) = new_machine(&repo, &copy);
        protect::unprotect(&owner_of_copy, &second.id).unwrap();
        put_in_trash(&owner_of_copy, &second);
        prune(&owner_of_copy, at_once()).unwrap();
        copy_objects(&copy, &repo.memory, Class::Collector);
        // Not even its end makes the record obeyed; a record `done` would say that all of it is
        // gone.
        repo.memory.remove(&layout::generation_key(1, "done")).unwrap();
        let before = objects(&repo.memory);
        for options in [at_once(), PruneOptions::new(now())] {
            let (_cache, owner) = new_machine(&repo, &repo.memory);
            let refused = prune(&owner, options).unwrap_err();
            assert!(
                matches!(&refused, Error::Unjustified { object, .. } if object == "gc/1.verdict"),
                "{refused:?}"
            );
            assert_eq!(objects(&repo.memory), before);
        }
        assert_all_readable(&repo, 3);
        // Backups go on, and whoever really forgets it may have it carried out.
        repo.write("more", b"more");
        repo.snapshot();
        protect::unprotect(&repo.open(), &second.id).unwrap();
        put_in_trash(&repo.open(), &second);
        prune(&repo.open(), at_once()).unwrap();
        assert_all_readable(&repo, 3);
        assert!(first.id != third.id);
    }
}

/// Packs that are the only place of something are not removed because a record says so; those that
/// nothing needs are.
#[test]
fn a_verdict_names_no_pack_that_is_needed() {
    let (repo, _) = three();
    let all = packs(&repo.memory);
    for victims in [all.clone(), vec![all[0]], vec![all[all.len() - 1]]] {
        let (_cache, forger) = new_machine(&repo, &repo.memory);
        let removal = Removal { packs: victims, snapshots: Vec::new() };
        generations::condemn(&forger, 1, now(), Condemned { oldest: 1, removal: removal.clone() })
            .unwrap();
        generations::decide(&forger, 1, now(), Some(removal)).unwrap();
        let before = objects(&repo.memory);
        let (_cache, owner) = new_machine(&repo, &repo.memory);
        let refused = prune(&owner, at_once()).unwrap_err();
        assert!(
            matches!(&refused, Error::Unjustified { why, .. } if why.contains("only place")),
            "{refused:?}"
        );
        assert_eq!(objects(&repo.memory), before);
        ["condemned", "verdict"]
            .iter()
            .for_each(|word| repo.memory.remove(&layout::generation_key(1, word)).unwrap());
    }
    assert_all_readable(&repo, 3);
    // A pack that nothing names.
    let garbage = Victim { class: PackClass::Data, name: drumlin::id::ObjectId([7; 32]) };
    repo.memory.overwrite(&layout::pack_key(PackClass::Data, &garbage.name), b"garbage");
    let (_cache, forger) = new_machine(&repo, &repo.memory);
    let removal = Removal { packs: vec![garbage], snapshots: Vec::new() };
    generations::condemn(&forger, 1, now(), Condemned { oldest: 1, removal: removal.clone() })
        .unwrap();
    generations::decide(&forger, 1, now(), Some(removal)).unwrap();
    assert_eq!(prune(&repo.open(), at_once()).unwrap().removed_packs, 1);
    assert_all_readable(&repo, 3);
}

/// Whoever takes part in another's open generation spares what is protected, or can be brought back
/// yet by his own measure.
#[test]
fn an_open_generation_of_another_drops_nothing_before_its_time() {
    for is_protected in [false, true] {
        let (repo, [_, second, _]) = three();
        put_in_trash(&repo.open(), &second);
        if is_protected {
            // As when an old tombstone is put back.
            let protected =
                protect::protect(&repo.open(), &second.id, snapshots::chain_hash(&second), &note());
            assert!(matches!(protected, Err(Error::InTrash { .. })));
        }
        let removal = Removal { packs: Vec::new(), snapshots: vec![second.id] };
        generations::condemn(&repo.open(), 1, now(), Condemned { oldest: 1, removal }).unwrap();
        let window = if is_protected { 0 } else { TRASH_WINDOW_S };
        let report =
            prune(&repo.open(), PruneOptions { trash_window_s: window, ..at_once() }).unwrap();
        assert!(report.dropped.is_empty(), "{report:#?}");
        assert_eq!(
            (report.guarded.len(), report.waiting.len()),
            if is_protected { (1, 0) } else { (0, 1) }
        );
        assert_all_readable(&repo, 3);
    }
}

/// An old tombstone that the store puts back does not end a protection, and the snapshot can be had
/// back at any time.
#[test]
fn a_replayed_tombstone_drops_nothing_that_is_protected() {
    let (repo, [_, second, _]) = three();
    repo.memory.set_clock(now().seconds - 30 * 24 * 3600);
    put_in_trash(&repo.open(), &second);
    let tombstone = layout::tombstone_key(&second.id);
    let bytes = repo.memory.read(&tombstone).unwrap();
    trash::undelete(&repo.open(), &second.id, TRASH_WINDOW_S, now(), &|| Ok(true)).unwrap();
    protect::protect(&repo.open(), &second.id, snapshots::chain_hash(&second), &note()).unwrap();
    repo.memory.overwrite(&tombstone, &bytes);
    let mut later = at_once();
    later.now.seconds += 60 * 24 * 3600;
    let report = prune(&repo.open(), later).unwrap();
    assert!(report.dropped.is_empty() && report.guarded == [second.id], "{report:#?}");
    trash::undelete(&repo.open(), &second.id, TRASH_WINDOW_S, later.now, &|| Ok(true)).unwrap();
    assert_all_readable(&repo, 3);
}

/// A machine that took a tombstone back knows it again, also where nothing is protected.
#[test]
fn a_tombstone_that_was_taken_back_is_not_obeyed_again() {
    let (repo, [_, second, _]) = three();
    let machine = repo.open();
    put_in_trash(&machine, &second);
    let tombstone = layout::tombstone_key(&second.id);
    let bytes = repo.memory.read(&tombstone).unwrap();
    trash::undelete(&machine, &second.id, TRASH_WINDOW_S, now(), &|| Ok(true)).unwrap();
    repo.memory.overwrite(&tombstone, &bytes);
    assert!(matches!(prune(&machine, at_once()), Err(Error::Unjustified { .. })));
    trash::undelete(&machine, &second.id, TRASH_WINDOW_S, now(), &|| Ok(true)).unwrap();
    put_in_trash(&machine, &second);
    assert_eq!(prune(&machine, at_once()).unwrap().dropped, [second.id]);
}

/// What a chain proves to be hidden is not taken for garbage, also by a machine that has seen
/// nothing.
#[test]
fn what_a_chain_proves_to_be_hidden_stops_collectors() {
    let (repo, [first, second, third]) = three();
    for (hidden, is_proven) in [(&first, true), (&second, true), (&third, false)] {
        let store = Arc::new(repo.memory.image());
        store.remove(&layout::snapshot_key(&hidden.id)).unwrap();
        let before = objects(&store);
        for dry_run in [true, false] {
            let (_cache, machine) = new_machine(&repo, &store);
            let outcome = prune(&machine, PruneOptions { dry_run, ..at_once() });
            assert_eq!(matches!(outcome, Err(Error::RolledBack { .. })), is_proven, "{outcome:?}");
            assert!(objects(&store) == before || !(is_proven || dry_run));
        }
        let known = repo.open_in(store.clone(), &repo.cache()).unwrap();
        assert!(
            matches!(prune(&known, at_once()), Err(Error::RolledBack { .. })),
            "this machine has seen all of them"
        );
    }
    // One that was forgotten and dropped is explained, also to a new machine, and if nobody could
    // read it.
    for is_readable in [true, false] {
        let store = Arc::new(repo.memory.image());
        let (_cache, machine) = new_machine(&repo, &store);
        trash::forget(
            &machine,
            &second.id,
            is_readable.then(|| snapshots::chain_hash(&second)),
            &note(),
        )
        .unwrap();
        prune(&machine, at_once()).unwrap();
        store.set_clock(now().seconds);
        let (_cache, machine) = new_machine(&repo, &store);
        assert!(prune(&machine, at_once()).unwrap().dropped.is_empty());
        assert!(run_check(&machine, Level::Full).is_sound());
    }
}

/// A snapshot that this machine, or a chain, knows is not taken for a session that died.
#[test]
fn no_slot_of_a_known_snapshot_is_burnt() {
    let (repo, [_, second, third]) = three();
    let mut later = at_once();
    later.now.seconds += 30 * 24 * 3600;
    for (hidden, knows) in [(&second, false), (&third, true)] {
        let store = Arc::new(repo.memory.image());
        store.remove(&layout::snapshot_key(&hidden.id)).unwrap();
        let (_cache, machine) = match knows {
            true => (fast_folder(), repo.open_in(store.clone(), &repo.cache()).unwrap()),
            false => new_machine(&repo, &store),
        };
        assert!(
            intents::read_all(&machine).unwrap().contains_key(&hidden.id),
            "its intent is there"
        );
        assert!(matches!(prune(&machine, later), Err(Error::RolledBack { .. })));
        assert!(store.stat(&layout::snapshot_key(&hidden.id)).is_err(), "the slot is burnt");
    }
    // And one that is burnt although it was a snapshot is missed by those who know it.
    let store = Arc::new(repo.memory.image());
    store.remove(&layout::snapshot_key(&third.id)).unwrap();
    let (_cache, machine) = new_machine(&repo, &store);
    intents::burn_slot(&machine, &third.id).unwrap();
    let known = repo.open_in(store, &repo.cache()).unwrap();
    assert!(matches!(snapshots::list(&known), Err(Error::RolledBack { .. })));
    // But a collector that slept may burn the slot of one that was forgotten and dropped.
    let store = Arc::new(repo.memory.image());
    let (_cache, machine) = new_machine(&repo, &store);
    put_in_trash(&machine, &third);
    prune(&machine, at_once()).unwrap();
    intents::burn_slot(&machine, &third.id).unwrap();
    let known = repo.open_in(store, &repo.cache()).unwrap();
    assert_eq!(snapshots::list(&known).unwrap().len(), 2);
}

/// A date in the future keeps no dead session alive: the store's clock counts where there is one.
#[test]
fn intents_from_the_future_expire() {
    for has_clock in [true, false] {
        let (repo, [.., third]) = three();
        let store = Arc::new(repo.memory.image());
        store.remove(&layout::snapshot_key(&third.id)).unwrap();
        let (_cache, machine) = new_machine(&repo, &store);
        let mut sessions = intents::read_all(&machine).unwrap();
        let numbers = sessions.remove(&third.id).unwrap().numbers;
        intents::remove(&machine, &third.id, &numbers).unwrap();
        let day = 24 * 3600;
        let began = now().seconds;
        if has_clock {
            store.set_clock(began);
        }
        let intent = drumlin::format::intent::Intent {
            session: third.id,
            number: 7,
            created: Timestamp { seconds: began + 4000 * day, nanos: 0 },
            host: "host".to_owned(),
            generation: 0,
            root: None,
            parent: None,
            packs: Vec::new(),
            extensions: Vec::new(),
        };
        intents::write(&machine, intent, &packs(&store).iter().map(|victim| victim.name).collect())
            .unwrap();
        let is_burnt = |days: i64| {
            let mut options = at_once();
            options.now.seconds = began + days * day;
            prune(&machine, options).unwrap();
            store.stat(&layout::snapshot_key(&third.id)).is_ok()
        };
        assert_eq!(
            is_burnt(13),
            !has_clock,
            "where no store says when it was made, an absurd date counts as old"
        );
        assert!(is_burnt(15));
    }
}

/// Seals a snapshot as somebody with a key can, whatever it says.
fn plant(repo: &TestRepo, snapshot: &Snapshot) {
    let repository = repo.open();
    let signed = snapshot.encode();
    let signature = repository.keyring_for_tests().sign().sign_snapshot(&signed);
    let slot = codec::encode(&CommitSlot::Snapshot { signed, signature });
    let sealed = seal_single(
        repository.keyring_for_tests().records().seal(),
        ContainerKind::Snapshot,
        &[3; 32],
        &slot,
    );
    repo.memory.overwrite(&layout::snapshot_key(&snapshot.id), &sealed.bytes);
}

/// A snapshot with the last number that there is, or one behind it, ends nobody's backups, and what
/// they store can be read.
#[test]
fn the_end_of_a_chain_ends_no_backups() {
    for sequence in [u64::MAX, SEQUENCE_MAX + 1, SEQUENCE_MAX, SEQUENCE_MAX - 1] {
        let (repo, [.., third]) = three();
        let id = drumlin::id::SnapshotId([9; 16]);
        let forged = Snapshot {
            id,
            sequence,
            previous: Some(snapshots::chain_hash(&third)),
            ..third.clone()
        };
        plant(&repo, &forged);
        for round in 0..3 {
            repo.write("only", &noise(50 + round, 20_000));
            let (_cache, machine) = new_machine(&repo, &repo.memory);
            let made = run_backup(&machine, &repo.source()).snapshot.unwrap();
            let (_cache, machine) = new_machine(&repo, &repo.memory);
            let listed = snapshots::list_all(&machine).unwrap();
            assert!(
                listed.iter().any(|(id, found)| *id == made.id
                    && found.as_ref().is_ok_and(|found| *found == made))
            );
        }
        let (_cache, machine) = new_machine(&repo, &repo.memory);
        let unreadable = snapshots::list_all(&machine)
            .unwrap()
            .iter()
            .filter(|(_, found)| found.is_err())
            .count();
        assert_eq!(unreadable, usize::from(sequence > SEQUENCE_MAX));
    }
}

/// What no reader would take is not committed: the backup must not seem to have succeeded.
#[test]
fn what_no_reader_takes_is_not_committed() {
    let (repo, [.., third]) = three();
    let nowhere = Timestamp { seconds: 0, nanos: 1_000_000_000 };
    let tags = vec!["b".to_owned(), "a".to_owned()];
    let bad = [
        Snapshot { sequence: 0, ..third.clone() },
        Snapshot { sequence: u64::MAX, ..third.clone() },
        Snapshot { previous: None, ..third.clone() },
        Snapshot { ended: nowhere, ..third.clone() },
        Snapshot { tags, ..third.clone() },
    ];
    for snapshot in bad {
        let secured = Forger::new(&repo).prepare(third.root, third.stats.totals);
        let snapshot = Snapshot { id: secured.session(), ..snapshot };
        assert!(matches!(
            snapshots::commit(&repo.repository, &snapshot, secured),
            Err(Error::Malformed { .. })
        ));
        assert!(repo.memory.stat(&layout::snapshot_key(&snapshot.id)).is_err());
    }
}

/// Of two that make a repository at one time at one place, the one that is slower leaves nothing.
#[test]
fn who_loses_the_race_of_two_inits_leaves_nothing() {
    let memory = Arc::new(MemoryStore::default());
    let store = Arc::new(Meanwhile::new(memory.clone(), (Action::Create, Class::Config)));
    let scratch = fast_folder();
    let options = |name: &str| InitOptions {
        profile: Profile::Small,
        secret: secret(),
        kdf: SlotKdf::KeyFile,
        label: "test".to_owned(),
        now: now(),
        program: "test".to_owned(),
        cache_dir: scratch.path().join(name),
    };
    let (quicker, faster) = (options("quicker"), memory.clone());
    store.plan(move || drop(Repository::init(faster, &quicker).unwrap()));
    let lost = Repository::init(store, &options("slower"));
    assert!(matches!(lost.err(), Some(Error::AlreadyExists { .. })));
    assert_eq!(memory.list(Class::Keys, "").unwrap().len(), 1);
    let known = OpenOptions { cache_dir: scratch.path().join("other"), prefer_cached: false };
    let repository = Repository::open(memory, &secret(), &known).unwrap();
    let report = run_check(&repository, Level::Full);
    assert!(report.is_sound() && report.notices.is_empty(), "{report:#?}");
}
