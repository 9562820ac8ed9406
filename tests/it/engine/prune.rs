//! Goal: collectors remove what no snapshot needs, and nothing else, whatever works or dies at the
//! same time. Method: a repository in memory; processes that die at every call of the store;
//! backups and collectors at the same time; the result is checked in full by a machine that knows
//! nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use drumlin::compress::Compression;
use drumlin::format::container::HEADER_LEN_BYTES;
use drumlin::format::generation::Condemned;
use drumlin::format::snapshot::Snapshot;
use drumlin::id::SnapshotId;
use drumlin::maintain::check::{CheckProblem, CheckReport, Level};
use drumlin::maintain::prune::PruneOptions;
use drumlin::monitor::Monitor;
use drumlin::repo::gc::generations::{self, Generations};
use drumlin::repo::gc::intents;
use drumlin::repo::objects::layout;
use drumlin::repo::snapshots;
use drumlin::repo::snapshots::trash::{self, TRASH_WINDOW_S};
use drumlin::restore::{self, RestoreOptions};
use drumlin::store::layers::fault::{Effect, Fault, FaultStore};
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Action, Class, ErrorKind, Store};

use crate::support::fixture::{
    Meanwhile, TestRepo, fast_folder, noise, now, options, run_backup, run_check,
};
use crate::support::operations::{at_once, prune, put_in_trash};

/// Checks everything, on a machine that has seen nothing.
fn check_in(repo: &TestRepo, store: Arc<MemoryStore>) -> CheckReport {
    let cache = fast_folder();
    run_check(&repo.open_in(store, cache.path()).unwrap(), Level::Full)
}

fn assert_sound(repo: &TestRepo, snapshots: u64) {
    let report = check_in(repo, repo.memory.clone());
    assert!(report.is_sound() && report.counts.snapshots == snapshots, "{report:#?}");
}

fn bytes_of(store: &MemoryStore, classes: &[Class]) -> u64 {
    classes
        .iter()
        .flat_map(|class| store.list(*class, "").unwrap())
        .map(|object| object.len_bytes)
        .sum()
}

const STORED: [Class; 3] = [Class::Data, Class::Meta, Class::Index];

/// Files that change a part from snapshot to snapshot.
fn history(repo: &TestRepo, count: u64) -> Vec<Snapshot> {
    let take = |round| {
        repo.write("same", &noise(1, 200_000));
        repo.write("dir/changes", &noise(100 + round, 150_000));
        repo.write("dir/small", &noise(200 + round, 2_000));
        repo.write(&format!("many/{round}"), &noise(300 + round, 30_000));
        repo.snapshot()
    };
    (0..count).map(take).collect()
}

#[test]
fn what_nothing_needs_is_removed() {
    let repo = TestRepo::new();
    let shots = history(&repo, 4);
    let repository = repo.open();
    assert!(prune(&repository, at_once()).unwrap().removed_packs == 0, "everything is needed");
    shots[..3].iter().for_each(|shot| put_in_trash(&repository, shot));
    let before = bytes_of(&repo.memory, &STORED);
    let waiting =
        prune(&repository, PruneOptions { trash_window_s: TRASH_WINDOW_S, ..at_once() }).unwrap();
    assert_eq!(
        (waiting.dropped.len(), waiting.waiting.len(), waiting.removed_packs),
        (0, 3, 0),
        "{waiting:#?}"
    );
    let dry = prune(&repository, PruneOptions { dry_run: true, ..at_once() }).unwrap();
    assert_eq!(
        (dry.remaining.dropped.len(), dry.removed_packs, bytes_of(&repo.memory, &STORED)),
        (3, 0, before),
        "{dry:#?}"
    );
    let report = prune(&repository, at_once()).unwrap();
    assert_eq!((report.dropped.len(), report.generations.len()), (3, 1), "{report:#?}");
    assert!(
        report.removed_bytes > 300_000 && bytes_of(&repo.memory, &STORED) + 300_000 < before,
        "{report:#?}"
    );
    assert_sound(&repo, 1);
    let again = prune(&repository, at_once()).unwrap();
    assert_eq!((again.removed_packs, again.generations.len()), (0, 0), "{again:#?}");
    assert!(intents::read_all(&repository).unwrap().is_empty());
    repo.write("more", b"more");
    repo.snapshot();
    assert_sound(&repo, 2);
}

/// A repository of which most was forgotten is as small as one that never held it.
#[test]
fn after_forgetting_most_it_is_as_small_as_a_fresh_one() {
    let repo = TestRepo::new();
    let shots = history(&repo, 20);
    let repository = repo.open();
    shots[..18].iter().for_each(|shot| put_in_trash(&repository, shot));
    prune(&repository, PruneOptions { max_unused_permille: 50, ..at_once() }).unwrap();
    assert_sound(&repo, 2);
    let fresh = TestRepo::new();
    for round in 0..20 {
        fresh.write("same", &noise(1, 200_000));
        fresh.write("dir/changes", &noise(100 + round, 150_000));
        fresh.write("dir/small", &noise(200 + round, 2_000));
        fresh.write(&format!("many/{round}"), &noise(300 + round, 30_000));
        if round >= 18 {
            fresh.snapshot();
        }
    }
    let (pruned, fresh) = (bytes_of(&repo.memory, &STORED), bytes_of(&fresh.memory, &STORED));
    assert!(pruned * 100 <= fresh * 105, "{pruned} bytes instead of {fresh}");
}

/// Segments of which everything is needed go to their new pack as they are compressed; only the
/// others are compressed again.
#[test]
fn whole_segments_are_moved_as_they_are() {
    let repo = TestRepo::new();
    let text = |seed: u64, lines: u64| {
        (0..lines).map(|line| format!("{:x} ", line * line * seed)).collect::<String>()
    };
    repo.write("a-stays", text(3, 900_000).as_bytes());
    repo.write("b-goes", text(5, 300_000).as_bytes());
    let first = repo.snapshot();
    std::fs::remove_file(repo.source().join("b-goes")).unwrap();
    repo.snapshot();
    put_in_trash(&repo.open(), &first);
    let before = bytes_of(&repo.memory, &[Class::Data]);
    let report =
        prune(&repo.open(), PruneOptions { compression: Compression::None, ..at_once() }).unwrap();
    let after = bytes_of(&repo.memory, &[Class::Data]);
    assert!(report.removed_packs > 0 && report.stored_bytes > before / 2, "{report:#?}");
    // Not compressed, all of it would take more than twice as much.
    assert!(after < before, "{after} bytes, {before} before: {report:#?}");
    assert_sound(&repo, 1);
}

/// What was stored lately stays as it is where that is asked for, but for packs that nothing needs
/// at all, and trees.
#[test]
fn young_content_is_not_rewritten() {
    let repo = TestRepo::new();
    repo.memory.set_clock(now().seconds);
    let shots = history(&repo, 4);
    shots[..3].iter().for_each(|shot| put_in_trash(&repo.open(), shot));
    let data = || repo.memory.list(Class::Data, "").unwrap().len();
    let before = data();
    let old_enough = PruneOptions { min_age_s: 90 * 24 * 3600, ..at_once() };
    let report = prune(&repo.open(), old_enough).unwrap();
    assert!(
        report.remaining.left_unused_bytes > 100_000 && report.dropped.len() == 3,
        "{report:#?}"
    );
    assert_sound(&repo, 1);
    let mut later = old_enough;
    later.now.seconds += 91 * 24 * 3600;
    let report = prune(&repo.open(), later).unwrap();
    assert!(report.removed_bytes > 100_000 && data() < before, "{report:#?}");
    assert_sound(&repo, 1);
}

/// A limit for one run holds, and the runs that follow end where one without it ends.
#[test]
fn no_more_is_rewritten_at_once_than_was_asked_for_and_the_next_goes_on() {
    const LIMIT_BYTES: u64 = 420_000;
    let repo = TestRepo::new();
    let shots = history(&repo, 6);
    shots[..5].iter().for_each(|shot| put_in_trash(&repo.open(), shot));
    let mut rewritten = Vec::new();
    while rewritten.len() < 20 {
        let limited = PruneOptions { max_repack_bytes: LIMIT_BYTES, ..at_once() };
        let planned =
            prune(&repo.open(), PruneOptions { dry_run: true, ..limited }).unwrap().remaining;
        assert!(planned.repack_bytes <= LIMIT_BYTES, "{planned:#?}");
        prune(&repo.open(), limited).unwrap();
        rewritten.push(planned.repack_bytes);
        if planned.repack_bytes == 0 {
            break;
        }
    }
    assert!(rewritten.len() > 2 && rewritten.ends_with(&[0]), "{rewritten:?}");
    let rest = prune(&repo.open(), PruneOptions { dry_run: true, ..at_once() }).unwrap().remaining;
    assert_eq!(rest.left_unused_bytes + rest.repack_unused_bytes, 0, "{rest:#?}");
    assert_sound(&repo, 1);
}

/// Returns what every snapshot in a store needs to be whole, by checking it.
fn assert_whole(repo: &TestRepo, store: &Arc<MemoryStore>, what: &str) {
    let report = check_in(repo, store.clone());
    assert!(report.is_sound(), "{what}: {report:#?}");
}

/// A collector dies at every call of its store, before or after the call had its effect; the next
/// one ends what it began.
#[test]
fn a_collector_may_die_at_every_call() {
    let repo = TestRepo::new();
    let shots = history(&repo, 4);
    shots[..3].iter().for_each(|shot| put_in_trash(&repo.open(), shot));
    // Half done sessions and a pack that no run names.
    repo.write("garbage", &noise(7, 60_000));
    let garbage = repo.snapshot();
    repo.memory.remove(&layout::snapshot_key(&garbage.id)).unwrap();
    intents::burn_slot(&repo.open(), &garbage.id).unwrap();
    let run = |store: Arc<dyn Store>| {
        let cache = fast_folder();
        repo.open_in(store, cache.path()).and_then(|repository| prune(&repository, at_once()))
    };
    let counted = Arc::new(FaultStore::new(Arc::new(repo.memory.image()), Vec::new()));
    run(counted.clone()).unwrap();
    let calls = counted.calls();
    assert!(calls > 40, "{calls}");
    let mut sizes = BTreeMap::new();
    for call in 0..calls {
        for effect in [Effect::Before(ErrorKind::Other), Effect::After(ErrorKind::Other)] {
            let what = format!("{effect:?} at call {call} of {calls}");
            let image = Arc::new(repo.memory.image());
            let fault = Fault { action: None, class: None, call, effect, then_dead: true };
            assert!(run(Arc::new(FaultStore::new(image.clone(), vec![fault]))).is_err(), "{what}");
            assert_whole(&repo, &image, &format!("{what}, dead"));
            run(image.clone()).unwrap();
            assert_whole(&repo, &image, &format!("{what}, finished by another"));
            assert_eq!(
                image
                    .list(Class::Snapshots, "")
                    .unwrap()
                    .iter()
                    .filter(|o| o.name.len() == 32)
                    .count(),
                2,
                "{what}"
            );
            run(image.clone()).unwrap();
            *sizes.entry(bytes_of(&image, &STORED) / 20_000).or_insert(0) += 1;
        }
    }
    assert!(sizes.len() <= 2, "what is left depends on where the first collector died: {sizes:?}");
}

/// A backup dies at every call; a collector comes; the backup is made again.
#[test]
fn a_backup_may_die_at_every_call() {
    let repo = TestRepo::new();
    history(&repo, 2);
    repo.write("dir/changes", &noise(9, 150_000));
    let take = |store: Arc<dyn Store>, cache: &Path| {
        let repository = repo.open_in(store, cache)?;
        let options = drumlin::backup::BackupOptions {
            always_snapshot: true,
            ..options(&[repo.source()], "host")
        };
        match drumlin::backup::run(&repository, options, &Monitor::default()) {
            Ok(report) => Ok(report.snapshot.unwrap()),
            Err(drumlin::backup::Error::Repository(error)) => Err(error),
            Err(other) => panic!("{other}"),
        }
    };
    let counted = Arc::new(FaultStore::new(Arc::new(repo.memory.image()), Vec::new()));
    take(counted.clone(), fast_folder().path()).unwrap();
    for call in 0..counted.calls() {
        for effect in [Effect::Before(ErrorKind::Other), Effect::After(ErrorKind::Other)] {
            let image = Arc::new(repo.memory.image());
            let fault = Fault { action: None, class: None, call, effect, then_dead: true };
            let cache = fast_folder();
            let died = take(Arc::new(FaultStore::new(image.clone(), vec![fault])), cache.path());
            assert_whole(&repo, &image, "dead");
            let collector = fast_folder();
            prune(&repo.open_in(image.clone(), collector.path()).unwrap(), at_once()).unwrap();
            assert_whole(&repo, &image, "collected");
            take(image.clone(), cache.path()).unwrap();
            assert_whole(&repo, &image, "made again");
            assert!(died.is_err(), "{effect:?} at call {call}");
        }
    }
}

/// Backups and collectors at the same time: all succeed, everything that was committed is whole,
/// and garbage goes.
#[test]
fn backups_and_collectors_at_once() {
    let repo = TestRepo::new();
    // What a backup has just stored is left alone, or collectors that never rest would keep it from
    // ever committing.
    repo.memory.set_clock(now().seconds);
    let options = PruneOptions { grace_s: 3600, ..at_once() };
    history(&repo, 2);
    let running = AtomicUsize::new(3);
    thread::scope(|scope| {
        for writer in 0..3u64 {
            let (repo, running) = (&repo, &running);
            scope.spawn(move || {
                let (source, cache) = (fast_folder(), fast_folder());
                let mut kept: Vec<Snapshot> = Vec::new();
                for round in 0..8 {
                    // Much of it is the same for all writers and goes and comes back.
                    std::fs::write(source.path().join("shared"), noise(1000 + round % 3, 120_000))
                        .unwrap();
                    std::fs::write(source.path().join("own"), noise(2000 + writer, 20_000))
                        .unwrap();
                    let repository = repo.open_in(repo.memory.clone(), cache.path()).unwrap();
                    kept.push(run_backup(&repository, source.path()).snapshot.unwrap());
                    if kept.len() > 2 {
                        put_in_trash(&repository, &kept.remove(0));
                    }
                }
                running.fetch_sub(1, Ordering::Relaxed);
            });
        }
        for _ in 0..2 {
            let (repo, running) = (&repo, &running);
            scope.spawn(move || {
                let cache = fast_folder();
                while running.load(Ordering::Relaxed) > 0 {
                    prune(&repo.open_in(repo.memory.clone(), cache.path()).unwrap(), options)
                        .unwrap();
                }
            });
        }
    });
    // The last to be forgotten may still be there.
    assert_whole(&repo, &repo.memory, "while collectors were at work");
    prune(&repo.open(), at_once()).unwrap();
    assert_sound(&repo, 8);
}

/// Who brings a snapshot back while a collector drops it is told the truth.
#[test]
fn bringing_back_races_with_dropping() {
    let mut outcomes = [0, 0];
    let places = [
        (Action::List, Class::Collector),
        (Action::List, Class::Intents),
        (Action::List, Class::Data),
        (Action::Create, Class::Collector),
        (Action::List, Class::Index),
        (Action::Create, Class::Index),
        (Action::Remove, Class::Snapshots),
        (Action::Remove, Class::Data),
    ];
    for at in places {
        let repo = TestRepo::new();
        let shots = history(&repo, 3);
        put_in_trash(&repo.open(), &shots[0]);
        let store = Arc::new(Meanwhile::new(repo.memory.clone(), at));
        let cache = fast_folder();
        let collector = repo.open_in(store.clone(), cache.path()).unwrap();
        let (user, id) = (repo.open(), shots[0].id);
        let outcome = Arc::new(std::sync::Mutex::new(None));
        let told = outcome.clone();
        store.plan(move || {
            *told.lock().unwrap() =
                Some(trash::undelete(&user, &id, TRASH_WINDOW_S, now(), &|| Ok(true)).is_ok())
        });
        prune(&collector, at_once()).unwrap();
        let is_back = outcome.lock().unwrap().take().unwrap();
        let there: Vec<SnapshotId> =
            snapshots::list(&repo.open()).unwrap().iter().map(|shot| shot.id).collect();
        assert_eq!(there.contains(&id), is_back, "{at:?}");
        assert_sound(&repo, 2 + u64::from(is_back));
        outcomes[usize::from(is_back)] += 1;
    }
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
}

/// What a session stored and does not rely on by an intent yet is left alone for a day; what an
/// intent names, for two weeks.
#[test]
fn what_a_running_backup_stored_is_left_alone() {
    let repo = TestRepo::new();
    repo.memory.set_clock(now().seconds);
    history(&repo, 1);
    repo.write("new", &noise(5, 400_000));
    let snapshot = repo.snapshot();
    // As if the session had not committed yet.
    repo.memory.remove(&layout::snapshot_key(&snapshot.id)).unwrap();
    let cache = fast_folder();
    let repository = repo.open_in(repo.memory.clone(), cache.path()).unwrap();
    let packs = bytes_of(&repo.memory, &[Class::Data]);
    let report = prune(&repository, PruneOptions { grace_s: 0, ..at_once() }).unwrap();
    assert_eq!((report.running_sessions, bytes_of(&repo.memory, &[Class::Data])), (1, packs));
    let sessions = intents::read_all(&repository).unwrap();
    intents::remove(&repository, &snapshot.id, &sessions[&snapshot.id].numbers).unwrap();
    let report = prune(&repository, PruneOptions { grace_s: 3600, ..at_once() }).unwrap();
    assert!(report.remaining.young_bytes > 400_000, "{report:#?}");
    assert_eq!(bytes_of(&repo.memory, &[Class::Data]), packs);
    prune(&repository, at_once()).unwrap();
    assert!(bytes_of(&repo.memory, &[Class::Data]) + 400_000 <= packs);
}

#[test]
fn dead_sessions_expire_and_their_slots_are_burnt_first() {
    let repo = TestRepo::new();
    history(&repo, 1);
    repo.write("new", &noise(5, 400_000));
    let snapshot = repo.snapshot();
    repo.memory.remove(&layout::snapshot_key(&snapshot.id)).unwrap();
    let cache = fast_folder();
    let repository = repo.open_in(repo.memory.clone(), cache.path()).unwrap();
    let mut later = at_once();
    later.now.seconds += 15 * 24 * 3600;
    prune(&repository, later).unwrap();
    assert!(intents::read_all(&repository).unwrap().is_empty());
    let slot = snapshots::load_from_store(&repository, &snapshot.id).unwrap();
    assert!(slot.is_none(), "the slot is burnt");
}

/// A damaged repository is not made worse: a prune either refuses and removes nothing, or nothing
/// that a snapshot needs was lost and no other object is missing afterwards.
#[test]
fn nothing_is_removed_from_a_damaged_repository() {
    let repo = TestRepo::new();
    let shots = history(&repo, 3);
    put_in_trash(&repo.open(), &shots[0]);
    let (mut refused, mut pruned) = (0, 0);
    for class in [Class::Index, Class::Meta, Class::Data] {
        for key in repo.memory.keys().into_iter().filter(|key| key.class == class) {
            let image = Arc::new(repo.memory.image());
            image.remove(&key).unwrap();
            // Intents of finished sessions may go in any case.
            let stored = |image: &MemoryStore| {
                image.keys().iter().filter(|key| key.class != Class::Intents).count()
            };
            let before = stored(&image);
            let cache = fast_folder();
            let options = PruneOptions { max_repack_bytes: 0, ..at_once() };
            match prune(&repo.open_in(image.clone(), cache.path()).unwrap(), options) {
                Err(error) => {
                    assert!(error.is_damage(), "{key}: {error:?}");
                    assert_eq!(stored(&image), before, "{key}");
                    refused += 1;
                }
                Ok(_) => {
                    // It was not needed: nothing else is missing now, and no path of a snapshot.
                    let report = check_in(&repo, image);
                    let is_it = |problem: &CheckProblem| problem.object == key.to_string();
                    let only_it = report.problems.items.iter().all(is_it);
                    let is_whole = report.affected.is_empty() && report.incomplete.is_empty();
                    assert!(only_it && is_whole, "{key}: {report:#?}");
                    assert_eq!(report.counts.snapshots, 2, "{key}");
                    pruned += 1;
                }
            }
        }
    }
    assert!(refused > 0, "{pruned} losses were passed over");
    // Nothing of this reached the repository itself.
    assert!(check_in(&repo, repo.memory.clone()).is_sound());
}

/// Many small backups: the number of index runs and of packs stays small.
#[test]
fn small_runs_and_packs_are_put_together() {
    let repo = TestRepo::new();
    for round in 0..40 {
        repo.write(&format!("file-{round}"), &noise(round, 5_000));
        repo.snapshot();
        if round % 10 == 9 {
            prune(
                &repo.open(),
                PruneOptions { low_memory: true, threads: 2, ..PruneOptions::new(now()) },
            )
            .unwrap();
        }
    }
    let count = |class| repo.memory.list(class, "").unwrap().len();
    assert!(
        count(Class::Index) <= 10 && count(Class::Data) <= 14 && count(Class::Meta) <= 14,
        "{:?}",
        repo.memory.keys()
    );
    assert_sound(&repo, 40);
}

/// Small packs are put into one segment where that compresses better, however many threads there
/// are.
#[test]
fn a_little_is_stored_again_by_one_thread() {
    let repo = TestRepo::new();
    let mut text: String = noise(1, 30_000).iter().map(|byte| format!("{byte:02x}")).collect();
    for round in 0..24 {
        text.replace_range(30_000..30_002, &format!("{round:02}"));
        repo.write(&format!("file-{round}"), text.as_bytes());
        repo.snapshot();
    }
    let before = bytes_of(&repo.memory, &[Class::Data]);
    let report =
        prune(&repo.open(), PruneOptions { threads: 6, low_memory: false, ..at_once() }).unwrap();
    let after = bytes_of(&repo.memory, &[Class::Data]);
    // Half as much as it has is what the first takes, and each other one that is compressed alone.
    assert!(
        before > 10 * 30_000 && after < 2 * 30_000,
        "{after} bytes, {before} before: {report:#?}"
    );
    assert_sound(&repo, 24);
}

/// Records of old generations go; a session that began before them looks everything up again.
#[test]
fn old_records_are_trimmed() {
    let repo = TestRepo::new();
    let mut time = at_once();
    for round in 0..24 {
        repo.write("file", &noise(round, 9_000));
        let shot = repo.snapshot();
        if round > 0 {
            time.now.seconds += 10 * 24 * 3600;
            put_in_trash(&repo.open(), &shot);
            prune(&repo.open(), time).unwrap();
        }
    }
    let kept: Vec<u64> = Generations::list(&repo.open()).unwrap().numbers().collect();
    assert!(kept.len() >= 16 && kept.len() < 20, "{kept:?}");
    assert_sound(&repo, 1);
    let report =
        generations::removed(drumlin::repo::Reader::new(&repo.open()).unwrap().chunk_index())
            .unwrap();
    assert!(report.stale_runs.is_empty());
}

/// A reader that began before a collector moved things finds them where they are now.
#[test]
fn what_moves_while_it_is_read_is_found_again() {
    let places =
        [(Action::Read, Class::Meta), (Action::Read, Class::Data), (Action::List, Class::Index)];
    for at in places {
        let repo = TestRepo::new();
        let shots = history(&repo, 4);
        shots[..3].iter().for_each(|shot| put_in_trash(&repo.open(), shot));
        let store = Arc::new(Meanwhile::new(repo.memory.clone(), at));
        let (cache, target) = (fast_folder(), fast_folder());
        let reader = repo.open_in(store.clone(), cache.path()).unwrap();
        let collector = repo.open();
        store.plan(move || {
            let report = prune(&collector, at_once()).unwrap();
            assert!(report.stored_bytes > 0, "nothing moved");
        });
        let path = Some(repo.source().into_os_string().into_encoded_bytes());
        let options = RestoreOptions {
            path,
            target: target.path().to_owned(),
            threads: 2,
            ..RestoreOptions::default()
        };
        let report = restore::run(&reader, &shots[3], &options, &Monitor::default()).unwrap();
        assert!(store.is_done() && report.damaged == 0, "{at:?}: {report:#?}");
        for file in ["same", "dir/changes", "dir/small", "many/0", "many/3"] {
            let restored = std::fs::read(target.path().join(file)).unwrap();
            assert!(restored == std::fs::read(repo.source().join(file)).unwrap(), "{at:?}: {file}");
        }
    }
}

/// Flips a bit in the first block of each local copy of an index run.
fn spoil_copies(copies: &Path) {
    for copy in fs::read_dir(copies.join("index")).unwrap() {
        let file =
            fs::OpenOptions::new().read(true).write(true).open(copy.unwrap().path()).unwrap();
        let at = HEADER_LEN_BYTES as u64 + 80;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    }
}

/// Copies are hints: one of an index run that went bad, before or while a collector is at work, is
/// fetched again.
#[test]
fn a_local_copy_of_the_index_that_went_bad_is_no_damage() {
    let places = [
        (Action::List, Class::Collector),
        (Action::List, Class::Data),
        (Action::Create, Class::Data),
        (Action::Create, Class::Collector),
        (Action::List, Class::Meta),
    ];
    for at in places {
        let repo = TestRepo::new();
        let shots = history(&repo, 4);
        put_in_trash(&repo.open(), &shots[0]);
        spoil_copies(&repo.copies());
        let dry = prune(&repo.open(), PruneOptions { dry_run: true, ..at_once() }).unwrap();
        assert!(!dry.remaining.dead.is_empty() && !dry.remaining.repack.is_empty(), "{dry:#?}");
        let store = Arc::new(Meanwhile::new(repo.memory.clone(), at));
        let machine = repo.open_in(store.clone(), &repo.cache()).unwrap();
        let copies = repo.copies();
        store.plan(move || spoil_copies(&copies));
        let report = prune(&machine, at_once()).unwrap();
        assert!(!report.outrun && report.dropped == [shots[0].id], "{report:#?}");
        assert!(store.is_done(), "{at:?}");
        assert_sound(&repo, 3);
    }
}

/// The same while a backup that met a conflict looks everything up again: it need not begin anew,
/// and gives up no slot.
#[test]
fn a_backup_that_looks_again_gets_over_a_bad_copy_of_the_index() {
    let repo = TestRepo::new();
    history(&repo, 3);
    repo.write("dir/changes", &noise(7, 150_000));
    let store = Arc::new(Meanwhile::new(repo.memory.clone(), (Action::Create, Class::Intents)));
    let machine = repo.open_in(store.clone(), &repo.cache()).unwrap();
    let (other, copies) =
        (repo.open_in(repo.memory.clone(), fast_folder().path()).unwrap(), repo.copies());
    store.plan(move || {
        // A generation that was cancelled since is a conflict.
        assert!(
            generations::condemn(&other, 1, now(), Condemned { oldest: 1, ..Condemned::default() })
                .unwrap()
        );
        generations::decide(&other, 1, now(), None).unwrap();
        spoil_copies(&copies);
    });
    run_backup(&machine, &repo.source());
    assert!(store.is_done());
    assert_eq!(repo.memory.list(Class::Snapshots, "").unwrap().len(), 4, "a slot was given up");
    assert_sound(&repo, 4);
}
