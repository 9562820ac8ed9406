//! Goal: whatever is lost, `repair --snapshots` leaves snapshots that are whole, with everything in
//! them that could be read before; nothing that is whole is touched, and nothing is destroyed.
//!
//! Method: a repository with every kind of object is damaged at each kind in turn; its snapshots
//! are replaced, and compared, on a machine without local copies, with what could be read of them
//! before. The repair is stopped at every object that it makes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drumlin::backup::{self, BackupOptions};
use drumlin::format::container::HEADER_LEN_BYTES;
use drumlin::format::entry::{Content, Timestamp};
use drumlin::format::node::TreeNode;
use drumlin::format::snapshot::Snapshot;
use drumlin::id::{ChunkId, SnapshotId};
use drumlin::maintain::check::Level;
use drumlin::maintain::forget::{self, GroupBy, Scope};
use drumlin::maintain::prune::{self, PruneOptions};
use drumlin::maintain::repair::{self, RepairOptions, RepairPlan, Replaced};
use drumlin::monitor::Monitor;
use drumlin::repo::objects::layout;
use drumlin::repo::read::trees::leaf_entries;
use drumlin::repo::snapshots::Listing;
use drumlin::repo::snapshots::trash::{self, ForgetNote, TRASH_WINDOW_S};
use drumlin::repo::{Reader, Repository, Trees, snapshots};
use drumlin::retention::Policy;
use drumlin::store::layers::fault::{Effect, Fault, FaultStore};
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Action, Class, ErrorKind, Key, Store};
use jiff::tz::TimeZone;

use crate::support::fixture::{TestRepo, fast_folder, noise, now, options, run_backup, run_check};
use crate::support::operations::repair_options;
use crate::support::patient::Patient;
use crate::support::sound::{Contents, Sound, flip_byte, is_named, keys_of, read_all};

const WAYS: [&str; 4] = ["removed", "flipped", "cut", "end"];

fn spoil(store: &MemoryStore, key: &Key, way: &str) {
    let bytes = store.read(key).unwrap();
    match way {
        "removed" => store.remove(key).unwrap(),
        "flipped" => flip_byte(store, key, HEADER_LEN_BYTES + 60),
        "cut" => store.overwrite(key, &bytes[..bytes.len() / 2]),
        _ => flip_byte(store, key, bytes.len() - 20),
    }
}

/// A damaged copy in which neither snapshot is in the trash.
fn patient<'a>(sound: &'a Sound, damage: impl FnOnce(&MemoryStore)) -> Patient<'a> {
    let patient = Patient::new(sound, |store| {
        store.remove(&layout::tombstone_key(&sound.snapshots[1].id)).unwrap();
        damage(store);
    });
    drop_copies(&patient, "tombstones");
    patient
}

/// Takes one kind of local copies away.
fn drop_copies(patient: &Patient, group: &str) {
    let caches = std::fs::read_dir(patient.cache.path())
        .unwrap()
        .map(|entry| entry.unwrap().path().join(group));
    let found: Vec<_> = caches.filter(|path| path.is_dir()).collect();
    assert!(!found.is_empty(), "no copies in {group}");
    found.iter().for_each(|path| std::fs::remove_dir_all(path).unwrap());
}

fn plan(repository: &Arc<Repository>) -> RepairPlan {
    let options = RepairOptions { snapshots: true, ..repair_options(Level::Full) };
    repair::plan(repository, &options, &Monitor::default()).unwrap()
}

fn replace(repository: &Arc<Repository>) -> Vec<Replaced> {
    plan(repository).apply(&Monitor::default()).unwrap().replaced
}

fn prune_at_once(repository: &Arc<Repository>) {
    let options = PruneOptions {
        trash_window_s: 0,
        grace_s: 0,
        threads: 2,
        low_memory: true,
        ..PruneOptions::new(now())
    };
    prune::run(repository, &options, &Monitor::default()).unwrap();
}

/// What a machine without local copies sees.
struct Seen {
    listing: Listing,
    live: Vec<Snapshot>,
    contents: BTreeMap<SnapshotId, Contents>,
}

fn look(patient: &Patient) -> Seen {
    let cache = fast_folder();
    let repository = patient.sound.repo.open_in(patient.store.clone(), cache.path()).unwrap();
    let listing = snapshots::listing(&repository).unwrap();
    let trees = Trees::new(Reader::new(&repository).unwrap());
    let live: Vec<Snapshot> = listing
        .snapshots
        .iter()
        .filter_map(|(_, snapshot)| snapshot.as_ref().ok().cloned())
        .collect();
    let contents = live.iter().map(|snapshot| (snapshot.id, read_all(&trees, snapshot))).collect();
    Seen { listing, live, contents }
}

/// Asserts that a new snapshot is what is left of an old one, and says so.
fn assert_left(
    what: &str,
    (old, before, sound): (&Snapshot, &Contents, &Contents),
    new: &Snapshot,
    seen: &Seen,
) {
    let left = &seen.contents[&new.id];
    for (path, hash) in before {
        assert_eq!(
            left.get(path),
            Some(hash),
            "{what}: {} got lost",
            String::from_utf8_lossy(path)
        );
    }
    let described = |snapshot: &Snapshot| {
        let Snapshot { host, user, app, started, ended, sources, tags, consistency, .. } =
            snapshot.clone();
        (host, user, app, started, ended, sources, tags, consistency)
    };
    assert_eq!(described(old), described(new), "{what}");
    assert_eq!((new.instead_of(), new.parent), (Some(old.id), Some(old.id)), "{what}");
    assert!(new.sequence > old.sequence, "{what}");
    assert_eq!(new.problem_count, new.problems.len() as u64, "{what}");
    let named: BTreeSet<(&[u8], bool)> = new
        .problems
        .iter()
        .map(|problem| (&problem.path[..], problem.message.contains("folder")))
        .collect();
    for (path, hash) in sound {
        match left.get(path) {
            Some(found) => {
                assert_eq!(found, hash, "{what}");
                assert!(
                    !named.contains(&(path, false)),
                    "{what}: {} is there and named",
                    String::from_utf8_lossy(path)
                );
            }
            None => assert!(
                is_named(path, &named),
                "{what}: {} is left out and not named",
                String::from_utf8_lossy(path)
            ),
        }
    }
    assert!(left.keys().all(|path| sound.contains_key(path)), "{what}: something was made up");
}

/// Asserts everything that must hold after a repair; `before` is what could be read of each
/// snapshot.
fn assert_replaced(what: &str, patient: &Patient, before: &[Contents], replaced: &[Replaced]) {
    let seen = look(patient);
    let (sound, shots) = (&patient.sound.contents, &patient.sound.snapshots);
    for (at, old) in shots.iter().enumerate() {
        let is_whole = before[at] == sound[at];
        let found = replaced.iter().find(|replaced| replaced.old == old.id);
        let is_live = seen.live.iter().any(|snapshot| snapshot.id == old.id);
        assert_eq!((found.is_some(), is_live), (!is_whole, is_whole), "{what}: snapshot {at}");
        let Some(found) = found else { continue };
        assert!(
            seen.listing.forgotten.iter().any(|one| one.tombstone.snapshot == old.id),
            "{what}"
        );
        let Some(new) = found.new else {
            assert!(before[at].is_empty(), "{what}: something could be read");
            continue;
        };
        let new = seen.live.iter().find(|snapshot| snapshot.id == new).unwrap();
        assert_eq!(new.problem_count, found.left_out, "{what}");
        assert_left(what, (old, &before[at], &sound[at]), new, &seen);
        let is_protected = |id: &SnapshotId| seen.listing.protected.contains(id);
        assert_eq!(is_protected(&new.id), is_protected(&old.id), "{what}");
    }
    let again = plan(&patient.open());
    assert!(again.is_empty(), "{what}: there is something left to do: {:?}", again.broken);
    prune_at_once(&patient.open());
    let full = patient.check(Level::Full);
    assert!(full.is_sound(), "{what}: {:?} {:?}", full.problems.items, full.affected.items);
    assert_eq!(look(patient).contents, seen.contents, "{what}: after the prune");
}

#[test]
fn snapshots_are_left_whole_whatever_pack_is_lost() {
    let sound = Sound::new();
    let mut count = 0;
    for class in [Class::Data, Class::Meta] {
        for key in keys_of(&sound.repo.memory, class) {
            for way in WAYS {
                let what = format!("{key} {way}");
                let patient = patient(&sound, |store| spoil(store, &key, way)).without_copies();
                // What is only misplaced is found again by the first half of a repair.
                let found = repair_options(Level::Full);
                repair::plan(&patient.open(), &found, &Monitor::default())
                    .unwrap()
                    .apply(&Monitor::default())
                    .unwrap();
                let before = patient.contents().unwrap();
                let replaced = replace(&patient.open());
                count += replaced.iter().filter(|replaced| replaced.new.is_some()).count();
                assert_replaced(&what, &patient, &before, &replaced);
            }
        }
    }
    assert!(count >= 8, "only {count} snapshots were replaced");
}

#[test]
fn one_run_heals_and_replaces() {
    let sound = Sound::new();
    let patient = patient(&sound, |store| {
        keys_of(store, Class::Data).iter().for_each(|key| spoil(store, key, "flipped"));
        keys_of(store, Class::Index).iter().for_each(|key| store.remove(key).unwrap());
    })
    .without_copies();
    let planned = plan(&patient.open());
    let promised: BTreeSet<_> =
        planned.preview.affected.items.iter().map(|one| (one.snapshot, one.path.clone())).collect();
    assert_eq!((planned.broken.len(), promised.is_empty()), (2, false));
    let replaced = planned.apply(&Monitor::default()).unwrap().replaced;
    let seen = look(&patient);
    let mut left_out = BTreeSet::new();
    for found in &replaced {
        let new = seen.live.iter().find(|snapshot| Some(snapshot.id) == found.new).unwrap();
        left_out.extend(new.problems.iter().map(|problem| (found.old, problem.path.clone())));
    }
    assert_eq!(left_out, promised, "exactly what was shown is left out");
    assert_replaced("all", &patient, &patient.contents().unwrap(), &replaced);
}

#[test]
fn the_next_backup_stores_again_what_was_left_out() {
    let sound = Sound::new();
    for class in [Class::Data, Class::Meta] {
        for key in keys_of(&sound.repo.memory, class) {
            // The machine that made the backups, but for the copies that would heal trees.
            let patient = patient(&sound, |store| spoil(store, &key, "removed"));
            drop_copies(&patient, "meta");
            replace(&patient.open());
            let new = run_backup(&patient.open(), &sound.repo.source()).snapshot.unwrap();
            assert_eq!(look(&patient).contents[&new.id], sound.contents[1], "{key}");
            prune_at_once(&patient.open());
            let full = patient.check(Level::Full);
            assert!(full.is_sound(), "{key}: {:?}", full.problems.items);
        }
    }
}

#[test]
fn the_old_ones_come_back_until_their_window_is_over() {
    let sound = Sound::new();
    let key = keys_of(&sound.repo.memory, Class::Data).pop().unwrap();
    let patient = patient(&sound, |store| spoil(store, &key, "flipped"));
    let replaced = replace(&patient.open());
    assert!(!replaced.is_empty());
    let between = patient.contents().unwrap();
    for found in &replaced {
        trash::undelete(&patient.open(), &found.old, TRASH_WINDOW_S, now(), &|| Ok(true)).unwrap();
    }
    let seen = look(&patient);
    assert_eq!(seen.live.len(), sound.snapshots.len() + replaced.len());
    assert!(seen.listing.protected.contains(&sound.snapshots[0].id), "its protection stayed");
    assert_eq!(patient.contents().unwrap(), between);
    // They are replaced once more by the new ones that are there already.
    let again = replace(&patient.open());
    let pairs =
        |replaced: &[Replaced]| replaced.iter().map(|one| (one.old, one.new)).collect::<Vec<_>>();
    assert_eq!(pairs(&again), pairs(&replaced));
}

/// The new snapshot's own intent names the old one; where the store replaces objects, filling its
/// slot would undo the commit.
#[test]
fn on_a_store_that_replaces_objects_no_slot_is_filled_twice() {
    let sound = Sound::new();
    let keys = keys_of(&sound.repo.memory, Class::Data);
    let patient = patient(&sound, |store| {
        store.replace_objects();
        keys.iter().for_each(|key| spoil(store, key, "flipped"));
    });
    let replaced = replace(&patient.open());
    let replaced_objects: Vec<Key> = patient.store.replaced();
    // Only a probe does, which finds that out.
    assert!(
        replaced.len() == 2 && replaced_objects.iter().all(|key| key.class == Class::Probe),
        "{replaced_objects:?}"
    );
    let seen = look(&patient);
    assert!(
        replaced
            .iter()
            .all(|found| seen.live.iter().any(|snapshot| Some(snapshot.id) == found.new))
    );
}

#[test]
fn what_a_backup_healed_meanwhile_is_not_touched() {
    let sound = Sound::new();
    let keys = keys_of(&sound.repo.memory, Class::Data);
    let patient = patient(&sound, |store| keys.iter().for_each(|key| spoil(store, key, "removed")));
    let found = repair_options(Level::Full);
    repair::plan(&patient.open(), &found, &Monitor::default())
        .unwrap()
        .apply(&Monitor::default())
        .unwrap();
    let planned = plan(&patient.open());
    assert_eq!(planned.broken.len(), 2);
    run_backup(&patient.open(), &sound.repo.source());
    let healed = patient.contents().unwrap();
    assert!(
        healed[0] != sound.contents[0] && healed[1] == sound.contents[1],
        "the first had a file that is gone"
    );
    let replaced = planned.apply(&Monitor::default()).unwrap().replaced;
    assert_eq!(replaced.iter().map(|one| one.old).collect::<Vec<_>>(), [sound.snapshots[0].id]);
    assert!(look(&patient).live.iter().any(|snapshot| snapshot.id == sound.snapshots[1].id));
}

#[test]
fn a_repair_that_dies_anywhere_is_finished_by_the_next() {
    let sound = Sound::new();
    for class in [Class::Data, Class::Meta] {
        let damage = |store: &MemoryStore| {
            keys_of(store, class).iter().for_each(|key| spoil(store, key, "flipped"))
        };
        let (creates, healed) = {
            let patient = patient(&sound, damage).without_copies();
            let before = patient.store.keys().len();
            assert_eq!(replace(&patient.open()).len(), 2);
            (patient.store.keys().len() - before, roots_of(&look(&patient)))
        };
        // Of trees, all may be lost with the one segment that is.
        assert!(class == Class::Meta || creates >= 8, "{creates} objects are made");
        for (survives, effect) in (0..creates).flat_map(|at| {
            [(at, Effect::Before(ErrorKind::Other)), (at, Effect::After(ErrorKind::Other))]
        }) {
            let what = format!("{class:?}: {effect:?} at object {survives}");
            let patient = patient(&sound, damage).without_copies();
            let before = patient.contents().unwrap();
            let fault = Fault {
                action: Some(Action::Create),
                class: None,
                call: survives as u64,
                effect,
                then_dead: true,
            };
            let dying = Arc::new(FaultStore::new(patient.store.clone(), vec![fault]));
            let repository = sound.repo.open_in(dying, patient.cache.path()).unwrap();
            let mut noted = Vec::new();
            let outcome = plan(&repository).apply_and_note(&mut noted, &Monitor::default());
            assert!(outcome.is_err(), "{what}");
            for (before, between) in before.iter().zip(&patient.contents().unwrap()) {
                assert!(
                    before.iter().all(|(path, hash)| between.get(path) == Some(hash)),
                    "{what}: worse"
                );
            }
            let between = look(&patient);
            for (old, before) in sound.snapshots.iter().zip(&before) {
                let stands_for =
                    |live: &Snapshot| live.id == old.id || live.instead_of() == Some(old.id);
                assert!(
                    before.is_empty() || between.live.iter().any(stands_for),
                    "{what}: neither the old nor the new one is there"
                );
            }
            let forgotten: BTreeSet<SnapshotId> =
                between.listing.forgotten.iter().map(|one| one.tombstone.snapshot).collect();
            let noted_now: BTreeSet<SnapshotId> = noted.iter().map(|one| one.old).collect();
            let is_told = matches!(effect, Effect::Before(_));
            assert!(
                noted_now.is_subset(&forgotten) && (!is_told || noted_now == forgotten),
                "{what}"
            );
            let outcome =
                plan(&patient.open()).apply_and_note(&mut noted, &Monitor::default()).unwrap();
            assert!(
                outcome.replaced.len() == 2 || !is_told,
                "{what}: what was replaced before is told, too"
            );
            assert_eq!(roots_of(&look(&patient)), healed, "{what}: repeated");
            prune_at_once(&patient.open());
            let full = patient.check(Level::Full);
            assert!(full.is_sound(), "{what}: {:?}", full.problems.items);
        }
    }
}

/// Returns what is live: instead of what, with which tree, protected or not.
fn roots_of(seen: &Seen) -> Vec<(Option<SnapshotId>, [u8; 32], bool)> {
    let of =
        |one: &Snapshot| (one.instead_of(), one.root.0, seen.listing.protected.contains(&one.id));
    let mut roots: Vec<_> = seen.live.iter().map(of).collect();
    roots.sort_unstable();
    roots
}

#[test]
fn a_damaged_slot_is_replaced_from_a_local_copy() {
    let sound = Sound::new();
    for old in &sound.snapshots {
        let key = layout::snapshot_key(&old.id);
        for way in ["removed", "flipped", "cut"] {
            let what = format!("{key} {way}");
            let patient = patient(&sound, |store| match way {
                "flipped" => flip_byte(store, &key, store.read(&key).unwrap().len() / 2),
                way => spoil(store, &key, way),
            });
            // A machine without a copy says that it can do nothing.
            let cache = fast_folder();
            let planned = plan(&sound.repo.open_in(patient.store.clone(), cache.path()).unwrap());
            let can_know = way != "removed" || old.id == sound.snapshots[0].id;
            assert!(
                planned.is_empty() && planned.beyond.is_empty() != can_know,
                "{what}: {:?}",
                planned.beyond
            );
            drop(planned);
            let planned = plan(&patient.open());
            assert!(planned.beyond.is_empty(), "{what}: {:?}", planned.beyond);
            let replaced = planned.apply(&Monitor::default()).unwrap().replaced;
            assert_eq!(
                replaced.iter().map(|one| (one.old, one.left_out)).collect::<Vec<_>>(),
                [(old.id, 0)],
                "{what}"
            );
            let seen = look(&patient);
            let new =
                seen.live.iter().find(|snapshot| Some(snapshot.id) == replaced[0].new).unwrap();
            assert_eq!(
                (new.root, new.instead_of(), new.problem_count),
                (old.root, Some(old.id), 0),
                "{what}"
            );
            assert!(plan(&patient.open()).is_empty(), "{what}");
            prune_at_once(&patient.open());
            let full = patient.check(Level::Full);
            assert!(full.is_sound(), "{what}: {:?}", full.problems.items);
        }
    }
}

fn note(reason: &str) -> ForgetNote {
    let word = str::to_owned;
    ForgetNote {
        host: word("host"),
        user: word("user"),
        program: word("test"),
        now: now(),
        reason: word(reason),
    }
}

#[test]
fn a_forgotten_snapshot_that_nobody_could_read_is_no_damage_and_explains_one_gap() {
    let repo = TestRepo::new();
    let take = |host: &str, number: u64| {
        repo.write("file", &noise(number, 900));
        let options = BackupOptions { always_snapshot: true, ..options(&[repo.source()], host) };
        backup::run(&repo.open(), options, &Monitor::default()).unwrap().snapshot.unwrap()
    };
    let shots: Vec<Snapshot> =
        (0..4).map(|number| take(if number < 2 { "one" } else { "two" }, number)).collect();
    let key = layout::snapshot_key(&shots[0].id);
    flip_byte(&repo.memory, &key, 200);
    let cache = fast_folder();
    let repository = repo.open_in(repo.memory.clone(), cache.path()).unwrap();
    let problems = |repository: &Arc<Repository>| run_check(repository, Level::Full).problems.count;
    assert_eq!(problems(&repository), 2, "the slot, and the chain of the next one");
    let listing = snapshots::listing(&repository).unwrap();
    let mut named = forget::plan_named(&listing, &[shots[0].id], GroupBy::DEFAULT, now().seconds);
    named.refuse(|_| None);
    assert!(
        named.unreadable_refused
            && forget::apply(&repository, &named, &note(""), &Monitor::default())
                .unwrap()
                .is_empty()
    );
    named.unreadable_refused = false;
    assert_eq!(
        forget::apply(&repository, &named, &note(""), &Monitor::default()).unwrap(),
        [shots[0].id]
    );
    let report = run_check(&repository, Level::Full);
    assert!(report.is_sound(), "{:?}", report.problems.items);
    assert_eq!(report.notices, [format!("{key} is damaged and forgotten: `prune` removes it")]);
    prune_at_once(&repository);
    let report = run_check(&repository, Level::Full);
    assert!(
        report.is_sound() && report.notices.is_empty(),
        "{:?} {:?}",
        report.problems.items,
        report.notices
    );
    // A store that takes the chance to hide one more is found out.
    repo.memory.remove(&layout::snapshot_key(&shots[2].id)).unwrap();
    assert_eq!(
        run_check(&repo.open_in(repo.memory.clone(), fast_folder().path()).unwrap(), Level::Full)
            .problems
            .count,
        2
    );
}

#[test]
fn a_replaced_snapshot_is_as_old_as_the_old_one_for_policies() {
    fn days_ago(days: i64) -> Timestamp {
        Timestamp { seconds: now().seconds - days * 86_400, nanos: 0 }
    }
    let repo = TestRepo::new();
    let take = |clock: fn() -> Timestamp, name: &str, seed: u64| {
        repo.memory.set_clock(clock().seconds);
        repo.write(name, &noise(seed, 200_000));
        let options = BackupOptions {
            always_snapshot: true,
            clock: std::sync::Arc::new(clock),
            ..options(&[repo.source()], "host")
        };
        backup::run(&repo.open(), options, &Monitor::default()).unwrap().snapshot.unwrap()
    };
    let first = take(|| days_ago(40), "first", 1);
    let packs = keys_of(&repo.memory, Class::Data);
    std::fs::remove_file(repo.source().join("first")).unwrap();
    let second = take(|| days_ago(20), "second", 2);
    repo.memory.set_clock(now().seconds);
    packs.iter().for_each(|key| repo.memory.remove(key).unwrap());
    assert_eq!(replace(&repo.open()).len(), 1);
    let listing = snapshots::listing(&repo.open()).unwrap();
    let policy = Policy { last: Some(1), ..Policy::default() };
    let planned =
        forget::plan_policy(&listing, &Scope::USUAL, &policy, &TimeZone::UTC, now().seconds);
    let going: Vec<_> =
        planned.groups.iter().flat_map(|group| group.going()).map(Snapshot::instead_of).collect();
    assert_eq!(going, [Some(first.id)], "not {}, and not none because of doubt", second.id);
}

#[test]
fn of_a_large_folder_only_the_lost_nodes_are_left_out() {
    let repo = TestRepo::new();
    for number in 0..5_000u64 {
        repo.write(&format!("many/{number:05}"), &noise(number, 450));
    }
    let old = repo.snapshot();
    let trees = repo.trees();
    let place = |id: &ChunkId| trees.reader().locate(id).unwrap().unwrap();
    // The nodes on the way to the folder must stay.
    let many = repo.stored_path("many");
    let ends = (0..many.len()).filter(|at| many[*at] == b'/').chain([many.len()]);
    let above = ends.map(|end| tree_at(&trees, &old, &many[..end]));
    let needed: BTreeSet<u32> = above.map(|id| place(&id).offset).collect();
    let TreeNode::Inner { children, .. } = trees.node(&tree_at(&trees, &old, &many)).unwrap()
    else {
        panic!("the folder has one node")
    };
    let spoilt = children
        .iter()
        .map(|child| place(&child.id))
        .find(|place| !needed.contains(&place.offset))
        .unwrap();
    let mut expected = read_all(&trees, &old);
    for child in children.iter().filter(|child| place(&child.id).offset == spoilt.offset) {
        for entry in leaf_entries(trees.node(&child.id).unwrap()) {
            expected.remove(&[&many, b"/".as_slice(), &entry.entry.name].concat()).unwrap();
        }
    }
    assert!(expected.len() > 500, "much of it is left");
    let key = layout::pack_key(spoilt.pack.class, &spoilt.pack.name);
    flip_byte(&repo.memory, &key, spoilt.offset as usize + 60);

    let cache = fast_folder();
    let repository = repo.open_in(repo.memory.clone(), cache.path()).unwrap();
    let replaced = replace(&repository);
    let new = snapshots::load(&repository, &replaced[0].new.unwrap()).unwrap().unwrap();
    assert_eq!(read_all(&Trees::new(Reader::new(&repository).unwrap()), &new), expected);
    assert_eq!(new.problems.iter().map(|problem| &problem.path).collect::<Vec<_>>(), [&many]);
    assert_eq!(
        new.stats.totals.files + 5_000 - old.stats.totals.files,
        expected_files(&expected, &many)
    );
    prune_at_once(&repository);
    let full = run_check(&repository, Level::Full);
    assert!(full.is_sound(), "{:?}", full.problems.items);
}

fn tree_at(trees: &Trees, snapshot: &Snapshot, path: &[u8]) -> ChunkId {
    match trees.lookup(&snapshot.root, path).unwrap().map(|found| found.entry.content) {
        None => snapshot.root,
        Some(Content::Tree(id)) => id,
        Some(_) => panic!("no folder"),
    }
}

fn expected_files(expected: &Contents, folder: &[u8]) -> u64 {
    expected.keys().filter(|path| path.len() > folder.len() && path.starts_with(folder)).count()
        as u64
}
