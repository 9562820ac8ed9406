//! Goal: what can be healed is healed, what cannot is named, and nothing ever gets worse.
//!
//! Method: a repository with every kind of object is damaged at each kind in turn and repaired.
//! Afterwards everything is read by a machine without local copies: what could be read before must
//! still be, what the plan calls lost must be all that cannot, and after the next backup of the
//! unchanged source all file content must be back, in every snapshot.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use drumlin::backup::{self, BackupOptions, BackupReport};
use drumlin::format::container::{ChunkKind, HEADER_LEN_BYTES};
use drumlin::format::entry::{Content, EntryKind, Ref};
use drumlin::format::generation::{Condemned, Removal};
use drumlin::format::node::{Totals, TreeNode};
use drumlin::maintain::check::{CheckReport, Level};
use drumlin::maintain::repair::{self, RepairOptions};
use drumlin::monitor::Monitor;
use drumlin::repo::gc::generations;
use drumlin::repo::{self, OpenOptions, Repository};
use drumlin::store::layers::fault::{Effect, Fault, FaultStore};
use drumlin::store::local::LocalStore;
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Action, Class, ErrorKind, Key, Store};
use tempfile::TempDir;

use crate::support::fixture::{
    TestRepo, fast_folder, let_time_pass, noise, now, run_backup, run_check,
};
use crate::support::forger::{Forger, entry, file};
use crate::support::operations::{at_once, prune, put_in_trash, repair_options};
use crate::support::patient::{Patient, repair_plan};
use crate::support::sound::{Sound, flip_byte, is_named, keys_of};

/// Asserts that after a repair exactly what the report names cannot be read, and that the next
/// snapshot is whole.
fn assert_honest_and_healed(what: &str, patient: &Patient, after: &CheckReport) {
    let contents = patient
        .contents()
        .unwrap_or_else(|| panic!("{what}: the index cannot be read after the repair"));
    for ((snapshot, sound), left) in
        patient.sound.snapshots.iter().zip(&patient.sound.contents).zip(&contents)
    {
        let named = after.affected.items.iter().filter(|affected| affected.snapshot == snapshot.id);
        let named: BTreeSet<(&[u8], bool)> =
            named.map(|affected| (&affected.path[..], affected.is_dir)).collect();
        for (path, hash) in sound {
            let shown = String::from_utf8_lossy(path);
            match left.get(path) {
                Some(found) => assert_eq!(found, hash, "{what}: {shown} is given back wrong"),
                None => assert!(is_named(path, &named), "{what}: {shown} is lost and not named"),
            }
            assert!(
                !named.contains(&(path, false)) || !left.contains_key(path),
                "{what}: {shown} is named and can be read"
            );
        }
    }
    let new = run_backup(&patient.open(), &patient.sound.repo.source()).snapshot.unwrap();
    let checked = patient.check(Level::Full);
    assert!(
        checked.affected.items.iter().all(|affected| affected.snapshot != new.id),
        "{what}: the next snapshot is not whole"
    );
}

/// Asserts that the backup that followed brought back, in every snapshot, what the source still
/// holds.
fn assert_content_came_back(what: &str, patient: &Patient) {
    let is_at_source =
        |(path, hash): (&Vec<u8>, &[u8; 32])| patient.sound.contents[1].get(path) == Some(hash);
    for (sound, left) in patient.sound.contents.iter().zip(patient.contents().unwrap()) {
        for (path, hash) in sound.iter().filter(|file| is_at_source(*file)) {
            assert_eq!(
                left.get(path),
                Some(hash),
                "{what}: {} did not come back",
                String::from_utf8_lossy(path)
            );
        }
    }
}

#[test]
fn a_sound_repository_needs_nothing() {
    let sound = Sound::new();
    let patient = Patient::new(&sound, |_| {});
    let before = patient.store.keys();
    let plan = patient.plan(Level::Full);
    assert!(plan.is_empty() && plan.preview.is_sound() && plan.beyond.is_empty());
    plan.apply(&Monitor::default()).unwrap();
    assert_eq!(patient.store.keys(), before);
}

#[test]
fn any_or_all_runs_are_made_again_from_the_packs() {
    let sound = Sound::new();
    let runs = keys_of(&sound.repo.memory, Class::Index);
    assert!(runs.len() >= 2);
    let mut cases: Vec<(String, Vec<Key>)> =
        runs.iter().map(|run| (run.to_string(), vec![run.clone()])).collect();
    cases.push(("all".to_owned(), runs.clone()));
    for (name, keys) in cases {
        for way in ["removed", "flipped", "cut", "emptied"] {
            let what = format!("{name} {way}");
            let patient = Patient::new(&sound, |store| {
                for key in &keys {
                    let bytes = store.read(key).unwrap();
                    match way {
                        "removed" => store.remove(key).unwrap(),
                        "flipped" => flip_byte(store, key, bytes.len() / 2),
                        "cut" => store.overwrite(key, &bytes[..bytes.len() / 3]),
                        _ => store.overwrite(key, b""),
                    }
                }
            })
            .without_copies();
            let after = patient.repair(Level::Structure);
            assert!(after.is_sound(), "{what}: {:?}", after.problems.items);
            assert!(patient.is_as_ever(), "{what}");
            let full = patient.check(Level::Full);
            assert!(full.is_sound(), "{what}: {:?}", full.problems.items);
            // It is at rest: nothing is left to be done, and the next backup works.
            assert!(patient.plan(Level::Full).is_empty(), "{what}");
            run_backup(&patient.open(), &sound.repo.source());
        }
    }
}

#[test]
fn missing_cut_and_flipped_packs_lose_no_more_than_they_must() {
    let sound = Sound::new();
    for class in [Class::Data, Class::Meta] {
        for key in keys_of(&sound.repo.memory, class) {
            for way in ["removed", "flipped", "cut", "header", "end", "emptied"] {
                let what = format!("{key} {way}");
                let damage = |store: &MemoryStore| {
                    let bytes = store.read(&key).unwrap();
                    match way {
                        "removed" => store.remove(&key).unwrap(),
                        "flipped" => flip_byte(store, &key, HEADER_LEN_BYTES + 60),
                        "cut" => store.overwrite(&key, &bytes[..bytes.len() / 2]),
                        "header" => flip_byte(store, &key, 40),
                        "end" => flip_byte(store, &key, bytes.len() - 20),
                        _ => store.overwrite(&key, b""),
                    }
                };
                let patient = Patient::new(&sound, damage).without_copies();
                let before = patient.contents().unwrap();
                let promised = patient.plan(Level::Full);
                let after = patient.repair(Level::Full);
                let paths = |report: &CheckReport| {
                    report
                        .affected
                        .items
                        .iter()
                        .map(|a| (a.snapshot, a.path.clone(), a.is_dir))
                        .collect::<BTreeSet<_>>()
                };
                assert_eq!(
                    paths(&promised.preview),
                    paths(&after),
                    "{what}: the plan promised something else"
                );
                for (before, after) in before.iter().zip(patient.contents().unwrap()) {
                    assert!(
                        before.iter().all(|(path, hash)| after.get(path) == Some(hash)),
                        "{what}: it got worse"
                    );
                }
                assert_honest_and_healed(&what, &patient, &after);
                // A node of an older tree is only made again if nothing on its way has changed.
                if class == Class::Data {
                    assert_content_came_back(&what, &patient);
                }
            }
        }
    }
}

#[test]
fn where_runs_and_a_part_of_each_pack_are_lost_no_run_names_a_damaged_pack_again() {
    let sound = Sound::new();
    for way in ["flipped", "cut", "end"] {
        let patient = Patient::new(&sound, |store| {
            for key in keys_of(store, Class::Data) {
                let bytes = store.read(&key).unwrap();
                match way {
                    "flipped" => flip_byte(store, &key, HEADER_LEN_BYTES + 60),
                    "cut" => store.overwrite(&key, &bytes[..bytes.len() / 2]),
                    _ => flip_byte(store, &key, bytes.len() - 20),
                }
            }
            keys_of(store, Class::Index).iter().for_each(|key| store.remove(key).unwrap());
        });
        let after = patient.repair(Level::Full);
        assert_honest_and_healed(way, &patient, &after);
        let of_packs: Vec<String> =
            patient.check(Level::Full).problems.items.into_iter().map(|p| p.object).collect();
        assert!(!of_packs.iter().any(|object| object.starts_with("data/")), "{way}: {of_packs:?}");
    }
}

#[test]
fn trees_come_back_from_local_copies() {
    let sound = Sound::new();
    for key in keys_of(&sound.repo.memory, Class::Meta) {
        for way in ["removed", "flipped"] {
            let patient = Patient::new(&sound, |store| match way {
                "removed" => store.remove(&key).unwrap(),
                _ => flip_byte(store, &key, HEADER_LEN_BYTES + 60),
            });
            let after = patient.repair(Level::Structure);
            assert!(
                after.is_sound() && patient.is_as_ever(),
                "{key} {way}: {:?}",
                after.problems.items
            );
            let full = patient.check(Level::Full);
            assert!(full.is_sound(), "{key} {way}: {:?}", full.problems.items);
        }
    }
}

#[test]
fn after_a_lost_pack_and_a_backup_a_full_check_is_content() {
    let sound = Sound::new();
    for key in keys_of(&sound.repo.memory, Class::Data) {
        for way in ["removed", "flipped"] {
            let patient = Patient::new(&sound, |store| match way {
                "removed" => store.remove(&key).unwrap(),
                _ => flip_byte(store, &key, HEADER_LEN_BYTES + 60),
            });
            patient.repair(Level::Full);
            run_backup(&patient.open(), &sound.repo.source());
            let full = patient.check(Level::Full);
            let only_in_the_first =
                |path: &[u8]| sound.contents[1].get(path) != sound.contents[0].get(path);
            let unexplained = full
                .affected
                .items
                .iter()
                .filter(|affected| !only_in_the_first(&affected.path))
                .count();
            assert_eq!(unexplained, 0, "{key} {way}: {:?}", full.affected.items);
        }
    }
}

#[test]
fn what_no_repair_can_heal_is_said() {
    let sound = Sound::new();
    let mut opened = 0;
    let slots = keys_of(&sound.repo.memory, Class::Keys);
    let snapshot = keys_of(&sound.repo.memory, Class::Snapshots).pop().unwrap();
    for key in slots.iter().cloned().chain([snapshot]) {
        let len = sound.repo.memory.read(&key).unwrap().len();
        let patient = Patient::new(&sound, |store| flip_byte(store, &key, len / 2));
        let Ok(repository) = sound.repo.open_in(patient.store.clone(), patient.cache.path()) else {
            assert_eq!(key.class, Class::Keys);
            continue;
        };
        opened += 1;
        let plan = repair_plan(&repository, Level::Structure);
        assert!(plan.is_empty(), "{key}");
        assert!(
            plan.beyond.iter().any(|line| line.starts_with(&key.to_string())),
            "{key}: {:?}",
            plan.beyond
        );
    }
    // All but the slot that opens this repository.
    assert_eq!(opened, slots.len());
}

#[test]
fn a_plan_that_is_not_applied_leaves_nothing_behind() {
    let sound = Sound::new();
    let key = keys_of(&sound.repo.memory, Class::Data).pop().unwrap();
    let patient = Patient::new(&sound, |store| flip_byte(store, &key, HEADER_LEN_BYTES + 60));
    let before = (patient.store.keys(), names_below(patient.cache.path()));
    let plan = patient.plan(Level::Full);
    assert!(!plan.is_empty());
    drop(plan);
    let after = (patient.store.keys(), names_below(patient.cache.path()));
    assert_eq!(before.0, after.0);
    let news: Vec<_> =
        after.1.difference(&before.1).filter(|path| !path.contains("/state/")).collect();
    assert!(news.is_empty(), "{news:?}");
}

fn names_below(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            names.extend(names_below(&entry.path()));
        } else {
            names.insert(entry.path().to_string_lossy().into_owned());
        }
    }
    names
}

#[test]
fn a_repair_that_dies_anywhere_makes_nothing_worse_and_can_be_repeated() {
    let sound = Sound::new();
    let runs = keys_of(&sound.repo.memory, Class::Index);
    let mut most = 0;
    for run in &runs {
        most = most.max(die_at_every_object(&sound, |store| {
            keys_of(store, Class::Data)
                .iter()
                .for_each(|key| flip_byte(store, key, store.read(key).unwrap().len() - 20));
            store.remove(run).unwrap();
        }));
    }
    assert!(most >= 3, "{most} objects are made");
}

/// Stops the repair of a damaged repository before each object that it makes; returns how many
/// these are.
fn die_at_every_object(sound: &Sound, damage: impl Fn(&MemoryStore)) -> usize {
    let damage = &damage;
    let creates = {
        let patient = Patient::new(sound, damage);
        let before = patient.store.keys().len();
        patient.repair(Level::Full);
        patient.store.keys().len() - before
    };
    let healed = {
        let patient = Patient::new(sound, damage);
        patient.repair(Level::Full);
        patient.contents().unwrap()
    };
    for survives in 0..creates {
        let patient = Patient::new(sound, damage);
        let before = patient.contents().unwrap();
        let effect = Effect::Before(ErrorKind::Other);
        let fault = Fault {
            action: Some(Action::Create),
            class: None,
            call: survives as u64,
            effect,
            then_dead: true,
        };
        let dying = Arc::new(FaultStore::new(patient.store.clone(), vec![fault]));
        let repository = sound.repo.open_in(dying, patient.cache.path()).unwrap();
        let outcome: repo::Result<_> =
            repair_plan(&repository, Level::Full).apply(&Monitor::default());
        assert!(outcome.is_err(), "{survives}");
        let between = patient.contents().unwrap();
        for (before, between) in before.iter().zip(&between) {
            assert!(
                before.iter().all(|(path, hash)| between.get(path) == Some(hash)),
                "dead after {survives} objects: worse"
            );
        }
        patient.repair(Level::Full);
        assert_eq!(patient.contents().unwrap(), healed, "repeated after {survives} objects");
    }
    creates
}

/// Returns the packs with file content that a backup made.
fn new_packs(store: &MemoryStore, act: impl FnOnce()) -> Vec<Key> {
    let before = keys_of(store, Class::Data);
    act();
    keys_of(store, Class::Data).into_iter().filter(|key| !before.contains(key)).collect()
}

/// Goal: what a repair took out of the index stays out, however a prune ends after it. Method: the
/// prune ends at each removal of an index run, by itself or by dying; another one goes on; then
/// what was lost is backed up again, and must be stored.
#[test]
fn a_replaced_run_does_not_come_back() {
    let mut ends = 0;
    for seed in 0..2u64 {
        let repo = TestRepo::new();
        let mut lost = Vec::new();
        let mut shots = Vec::new();
        for number in 0..4u64 {
            repo.write(&format!("f{number}"), &noise(10 * seed + number, 60_000));
            let packs = new_packs(&repo.memory, || shots.push(repo.snapshot()));
            if number == 1 {
                lost = packs;
            }
        }
        lost.iter().for_each(|key| repo.memory.remove(key).unwrap());
        std::fs::remove_file(repo.source().join("f1")).unwrap();
        repair_plan(&repo.open(), Level::Structure).apply(&Monitor::default()).unwrap();
        repo.write("g", b"small");
        repo.snapshot();
        shots.iter().for_each(|shot| put_in_trash(&repo.open(), shot));
        let run = |store: Arc<dyn Store>| {
            let cache = fast_folder();
            let repository = repo.open_in(store, cache.path()).unwrap();
            prune(&repository, at_once())
        };
        for then_dead in [true, false] {
            for call in 0.. {
                let what = format!("seed {seed}, removal {call}, dead: {then_dead}");
                let image = Arc::new(repo.memory.image());
                let (action, class) = (Some(Action::Remove), Some(Class::Index));
                let fault = Fault {
                    action,
                    class,
                    call,
                    effect: Effect::Before(ErrorKind::Other),
                    then_dead,
                };
                if run(Arc::new(FaultStore::new(image.clone(), vec![fault]))).is_ok() {
                    break;
                }
                ends += 1;
                run(image.clone()).unwrap();
                let check = |what: &str| {
                    let cache = fast_folder();
                    let checked =
                        run_check(&repo.open_in(image.clone(), cache.path()).unwrap(), Level::Full);
                    assert!(checked.is_sound(), "{what}: {checked:#?}");
                };
                check(&what);
                repo.write("f1", &noise(10 * seed + 1, 60_000));
                let cache = fast_folder();
                let report =
                    run_backup(&repo.open_in(image.clone(), cache.path()).unwrap(), &repo.source());
                assert!(report.stats.bytes_new_raw >= 60_000, "{what}: taken for stored");
                check(&format!("{what}, and a backup"));
                std::fs::remove_file(repo.source().join("f1")).unwrap();
            }
        }
    }
    assert!(ends >= 8, "{ends}");
}

/// A machine of its own that backs up the same source.
struct Other<'a> {
    repo: &'a TestRepo,
    store: Arc<dyn Store>,
    cache: TempDir,
}

impl Other<'_> {
    fn back_up(&self) -> BackupReport {
        let options = OpenOptions { cache_dir: self.cache.path().to_owned(), prefer_cached: true };
        let repository =
            Repository::open(self.store.clone(), &crate::support::fixture::secret(), &options)
                .unwrap();
        let options = crate::support::fixture::options(&[self.repo.source()], "other");
        backup::run(&repository, BackupOptions { low_memory: true, ..options }, &Monitor::default())
            .unwrap()
    }
}

/// Goal: what a repair found lost is stored again by the next backup of any machine. Method: one
/// whose local index and last snapshot say that it is there, with and without its local copies,
/// where runs are lost too, and where nothing has changed at the source.
#[test]
fn other_machines_store_again_what_a_repair_found_lost() {
    for (runs_too, without_cache, is_at_hand) in [
        (false, false, false),
        (true, false, false),
        (false, true, false),
        (false, false, true),
        (true, false, true),
    ] {
        let what = format!(
            "runs lost: {runs_too}, without local copies: {without_cache}, at hand: {is_at_hand}"
        );
        let folder = fast_folder();
        let memory = Arc::new(MemoryStore::default());
        let local = Arc::new(LocalStore::open_or_make(folder.path()).unwrap());
        let store: Arc<dyn Store> = if is_at_hand { local } else { memory.clone() };
        let repo = TestRepo::with_store(memory, store.clone());
        let mine = || repo.open_in(store.clone(), &repo.cache()).unwrap();
        for number in 0..3u64 {
            repo.write(&format!("dir-{number}/file"), &noise(number, 60_000));
            run_backup(&mine(), &repo.source());
        }
        let_time_pass();
        let mut other = Other { repo: &repo, store: store.clone(), cache: fast_folder() };
        (0..2).for_each(|_| drop(other.back_up()));
        let keys = |class: Class| {
            store.list(class, "").unwrap().into_iter().map(move |found| Key::new(class, found.name))
        };
        let packs: Vec<Key> = keys(Class::Data).collect();
        assert!(packs.len() >= 3);
        store.remove(&packs[1]).unwrap();
        if runs_too {
            keys(Class::Index).for_each(|key| store.remove(&key).unwrap());
        }
        let outcome = repair_plan(&mine(), Level::Structure).apply(&Monitor::default()).unwrap();
        assert!(!outcome.after.is_sound() && !outcome.is_untold, "{what}");
        if without_cache {
            other.cache = fast_folder();
        }
        if !is_at_hand {
            // Without a change it asks for nothing, and so knows nothing.
            repo.write("new", b"new");
        }
        let report = other.back_up();
        assert!(
            report.snapshot.is_some() && report.stats.bytes_new_raw >= 60_000,
            "{what}: {:?}",
            report.stats
        );
        let cache = fast_folder();
        let checked = run_check(&repo.open_in(store.clone(), cache.path()).unwrap(), Level::Full);
        assert!(checked.is_sound(), "{what}: {checked:#?}");
        // It is told once: the next one looks at nothing twice.
        repo.write("newer", b"newer");
        let_time_pass();
        let again = other.back_up();
        assert!(
            again.stats.files_unchanged >= 3 && again.stats.bytes_read < 60_000,
            "{what}: {:?}",
            again.stats
        );
        prune(&mine(), at_once()).unwrap();
    }
}

/// Goal: a repair does not disturb a collector, and is not misled by one that died. Method: repairs
/// beside generations in every state.
#[test]
fn a_loss_is_told_beside_collectors_too() {
    for state in ["open", "cancelled", "decided", "done"] {
        let repo = TestRepo::new();
        repo.write("file", &noise(1, 60_000));
        repo.snapshot();
        let repository = repo.open();
        let condemned = || Condemned { oldest: 1, removal: Removal::default() };
        assert!(generations::condemn(&repository, 1, now(), condemned()).unwrap());
        match state {
            "cancelled" => drop(generations::decide(&repository, 1, now(), None).unwrap()),
            "decided" | "done" => {
                drop(generations::decide(&repository, 1, now(), Some(Removal::default())).unwrap())
            }
            _ => {}
        }
        if state == "done" {
            generations::finish(&repository, 1, now(), Vec::new()).unwrap();
        }
        let pack = keys_of(&repo.memory, Class::Data).pop().unwrap();
        repo.memory.remove(&pack).unwrap();
        let outcome =
            repair_plan(&repository, Level::Structure).apply(&Monitor::default()).unwrap();
        // One that was decided has to be finished first.
        assert_eq!(outcome.is_untold, state == "decided", "{state}");
        run_backup(&repo.open(), &repo.source());
        let checked = repo.check(Level::Full);
        assert!(checked.is_sound(), "{state}: {checked:#?}");
        prune(&repo.open(), at_once()).unwrap();
    }
}

/// What states a wrong length was made by somebody with a key. No repair changes that, and only a
/// full look sees it: what is said in the end is no better than that.
#[test]
fn wrong_lengths_are_damage_after_a_repair_too() {
    for snapshots in [false, true] {
        let repo = TestRepo::new();
        let forger = Forger::new(&repo);
        let id = forger.put(ChunkKind::Data, &noise(1, 5000));
        let lying =
            entry(b"lying", EntryKind::File, Content::Refs(vec![Ref::Data { id, len: 5001 }]));
        let root = TreeNode::Leaf {
            strings: Vec::new(),
            entries: vec![file(b"good"), lying],
            dir_totals: Vec::new(),
        };
        let totals = Totals { files: 2, dirs: 0, bytes: 5007 };
        let root = forger.put(ChunkKind::Tree, &root.encode());
        let forged = forger.finish_with(root, totals);
        assert!(repo.check(Level::Structure).is_sound() && !repo.check(Level::Full).is_sound());
        let options = RepairOptions { snapshots, ..repair_options(Level::Full) };
        let planned = repair::plan(&repo.open(), &options, &Monitor::default()).unwrap();
        assert!(planned.incomplete() == [forged.id], "{:#?}", planned.preview);
        let outcome = planned.apply(&Monitor::default()).unwrap();
        assert!(!outcome.is_sound(), "{:#?}", outcome.after);
        assert_eq!(
            outcome.replaced.iter().map(|one| one.old).collect::<Vec<_>>(),
            if snapshots { vec![forged.id] } else { vec![] }
        );
        assert!(!repo.check(Level::Full).is_sound());
        if snapshots {
            prune(&repo.open(), at_once()).unwrap();
            assert!(
                repair_plan(&repo.open(), Level::Full)
                    .apply(&Monitor::default())
                    .unwrap()
                    .is_sound()
            );
        }
    }
}

/// A repair that is killed leaves its drafts: the next one removes them, but not those of another
/// that is at work.
#[test]
fn drafts_of_a_killed_repair_go_with_the_next_one() {
    let sound = Sound::new();
    let key = keys_of(&sound.repo.memory, Class::Data).pop().unwrap();
    let patient = Patient::new(&sound, |store| flip_byte(store, &key, HEADER_LEN_BYTES + 60));
    let drafts = || -> BTreeSet<String> {
        names_below(patient.cache.path())
            .into_iter()
            .filter(|path| path.contains("/repair/"))
            .collect()
    };
    let first = patient.plan(Level::Full);
    let made = drafts();
    let name = made.first().expect("there are drafts").clone();
    let bytes = std::fs::read(&name).unwrap();
    let left = Path::new(&name).with_file_name("ab".repeat(32));
    std::fs::write(&left, bytes).unwrap();
    drop(patient.plan(Level::Full));
    assert!(left.exists() && made.is_subset(&drafts()), "another was at work");
    drop(first);
    assert!(left.exists());
    let plan = patient.plan(Level::Full);
    assert!(!left.exists() && !drafts().is_empty());
    plan.apply(&Monitor::default()).unwrap();
    assert!(drafts().is_empty());
}
