//! `check` of a sound repository, at each level; damage is in `safety/damage.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use drumlin::browse;
use drumlin::maintain::check::Level;
use drumlin::maintain::stats;
use drumlin::monitor::Monitor;
use drumlin::repo::snapshots;
use drumlin::store::layers::count::CountStore;
use drumlin::store::{Action, Class, Store};

use crate::support::fixture::{Meanwhile, TestRepo, fast_folder, noise, run_backup, run_check};

const LEVELS: [Level; 4] =
    [Level::Quick, Level::Structure, Level::Sample { permille: 300 }, Level::Full];

/// Files of every size class, a folder of several nodes, a file whose list is a tree, things said
/// twice.
fn fill(repo: &TestRepo) {
    for number in 0..1500u64 {
        repo.write(&format!("many/{number}"), &noise(number, 600));
    }
    repo.write("large", &noise(1, 12_000_000));
    repo.write("twice/large", &noise(1, 12_000_000));
    repo.write("text", "all work and no play\n".repeat(100_000).as_bytes());
    repo.write("tiny", b"inline");
    repo.write("empty", b"");
}

#[test]
fn a_sound_repository_is_sound_at_every_level() {
    let repo = TestRepo::new();
    assert!(repo.check(Level::Full).is_sound());
    fill(&repo);
    repo.snapshot();
    repo.write("many/new", &noise(77, 100_000));
    repo.snapshot();
    for level in LEVELS {
        let report = repo.check(level);
        assert!(report.is_sound(), "{level}: {report:#?}");
        assert_eq!((report.counts.snapshots, report.counts.index_runs), (2, 2));
        assert!(report.notices.is_empty() && report.counts.packs_unindexed == 0, "{report:#?}");
        let verified = report.counts.packs_verified;
        match level {
            Level::Quick => assert_eq!(verified, 0),
            Level::Full => assert_eq!(report.counts.bytes_verified, report.counts.pack_bytes),
            _ => assert!(verified > 0 && verified < report.counts.packs),
        }
        assert_eq!(
            report.counts.nodes > 10 && report.counts.chunks_referenced > 1000,
            level != Level::Quick
        );
    }
}

/// What is not asked for is not read: quick reads no pack, structure no file content, and nothing
/// is ever written.
#[test]
fn each_level_reads_what_it_says() {
    let repo = TestRepo::new();
    fill(&repo);
    repo.snapshot();
    for level in LEVELS {
        let counted = Arc::new(CountStore::new(repo.memory.clone()));
        let cache = fast_folder();
        let report = run_check(&repo.open_in(counted.clone(), cache.path()).unwrap(), level);
        let counts = counted.counts();
        let read = |class| counts.of(Action::Read, class).bytes;
        assert!(
            read(Class::Config) > 0
                && read(Class::Keys) > 0
                && read(Class::Snapshots) > 0
                && read(Class::Index) > 0
        );
        assert_eq!(read(Class::Meta) == 0, level == Level::Quick);
        assert_eq!(read(Class::Data) == 0, level <= Level::Structure, "{level}");
        assert_eq!(
            read(Class::Data) + read(Class::Meta),
            report.counts.bytes_verified,
            "each pack is read once"
        );
        assert_eq!(
            counts.of_action(Action::Create).calls + counts.of_action(Action::Remove).calls,
            0
        );
    }
}

/// Samples take what was verified longest ago, so repeated ones cover everything.
#[test]
fn repeated_samples_cover_everything() {
    let repo = TestRepo::new();
    for number in 0..5 {
        repo.write("a", &noise(number, 9_000_000));
        repo.snapshot();
    }
    let mut covered = 0;
    for round in 1..=20 {
        let report = repo.check(Level::Sample { permille: 100 });
        assert!(report.is_sound());
        assert!(report.coverage.bytes_ever > covered, "round {round} verified nothing new");
        covered = report.coverage.bytes_ever;
        assert_eq!(report.coverage.oldest.is_some(), covered == report.coverage.bytes);
        if covered == report.coverage.bytes {
            assert!(round <= 10, "{round} rounds of a tenth each");
            return;
        }
    }
    panic!("never complete");
}

/// A check beside running backups finds nothing: it looks at things in the opposite order of their
/// making.
#[test]
fn no_false_alarm_beside_running_backups() {
    let repo = TestRepo::new();
    repo.write("a", &noise(0, 300_000));
    repo.snapshot();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let source = tempfile::tempdir().unwrap();
            let cache = fast_folder();
            let repository = repo.open_in(repo.memory.clone(), cache.path()).unwrap();
            for number in 1..60 {
                std::fs::write(source.path().join("b"), noise(number, 200_000)).unwrap();
                run_backup(&repository, source.path());
            }
            done.store(true, Ordering::Release);
        });
        let mut rounds = 0;
        while !done.load(Ordering::Acquire) {
            let report = repo.check(Level::Full);
            assert!(report.is_sound(), "{report:#?}");
            rounds += 1;
        }
        assert!(rounds > 2, "the backups were over before anything was checked");
    });
}

/// A collector may remove garbage at any moment: the run that names a pack, then the pack. That is
/// no damage.
#[test]
fn no_false_alarm_beside_a_collector() {
    let at_any = [Action::List, Action::Read]
        .into_iter()
        .flat_map(|action| Class::ALL.map(|class| (action, class)));
    let mut happened = 0;
    for at in at_any {
        let repo = TestRepo::new();
        repo.write("a", &noise(0, 300_000));
        repo.snapshot();
        let kept = repo.memory.keys();
        repo.write("a", &noise(1, 300_000));
        repo.snapshot();
        let (runs, others): (Vec<_>, Vec<_>) = repo
            .memory
            .keys()
            .into_iter()
            .filter(|key| !kept.contains(key))
            .partition(|key| key.class == Class::Index);
        // The second snapshot was forgotten by another machine some time ago: what only it needs is
        // garbage.
        let (snapshots, packs): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|key| key.class == Class::Snapshots);
        assert_eq!((runs.len(), snapshots.len(), packs.len()), (1, 1, 3));
        snapshots.iter().for_each(|key| repo.memory.remove(key).unwrap());
        let store = Arc::new(Meanwhile::new(repo.memory.clone(), at));
        let cache = fast_folder();
        let repository = repo.open_in(store.clone(), cache.path()).unwrap();
        let bare = repo.memory.clone();
        store.plan(move || runs.iter().chain(&packs).for_each(|key| bare.remove(key).unwrap()));
        let report = run_check(&repository, Level::Full);
        assert!(report.is_sound(), "{at:?}: {report:#?}");
        happened += usize::from(store.is_done());
    }
    assert!(happened >= 10, "the collector came {happened} times only");
}

/// A pack that no run names yet is not damage, but is verified all the same.
#[test]
fn packs_of_running_backups_are_counted_only() {
    let repo = TestRepo::new();
    repo.write("a", &noise(0, 300_000));
    repo.snapshot();
    for run in repo.memory.keys().into_iter().filter(|key| key.class == Class::Index) {
        repo.memory.remove(&run).unwrap();
    }
    for snapshot in repo.memory.keys().into_iter().filter(|key| key.class == Class::Snapshots) {
        repo.memory.remove(&snapshot).unwrap();
    }
    let cache = fast_folder();
    let report = run_check(&repo.open_in(repo.memory.clone(), cache.path()).unwrap(), Level::Full);
    assert!(report.is_sound(), "{report:#?}");
    assert_eq!((report.counts.packs_unindexed, report.counts.packs_verified), (2, 2));
}

/// Local copies that went bad are no damage of the repository.
#[test]
fn bad_local_copies_are_no_damage() {
    let repo = TestRepo::new();
    fill(&repo);
    let snapshot = repo.snapshot();
    let mut spoiled = 0;
    for folder in ["index", "meta", "snapshots"] {
        for found in walk_files(&repo.copies().join(folder)) {
            let mut bytes = std::fs::read(&found).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&found, bytes).unwrap();
            spoiled += 1;
        }
    }
    assert!(spoiled >= 3);
    let trees = repo.trees();
    let place = browse::find(&trees, &snapshot, &repo.stored_path("many")).unwrap();
    let walked = browse::TreeWalk::new(&trees, &place.tree.unwrap(), &place.path, true);
    assert_eq!(walked.map(|(_, entry)| entry.unwrap()).collect::<Vec<_>>().len(), 1500);
    let report = repo.check(Level::Full);
    assert!(report.is_sound(), "{report:#?}");
}

fn walk_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn figures_add_up() {
    let repo = TestRepo::new();
    fill(&repo);
    let first = repo.snapshot();
    repo.write("more", &noise(5, 1_000_000));
    let second = repo.snapshot();
    let repository = repo.open();
    let trees = repo.trees();
    let all = snapshots::list(&repository).unwrap();
    let figures = stats::of_repository(trees.reader(), &all, 0, 2, &Monitor::default()).unwrap();
    // Inline files have no chunks; the large file is there twice, and in two snapshots.
    let unique_text = 2_100_000;
    assert_eq!(figures.totals.bytes, first.stats.totals.bytes + second.stats.totals.bytes);
    let chunked = figures.unique_bytes - figures.inline_bytes;
    assert!(chunked >= 1500 * 600 + 12_000_000 + 1_000_000, "{figures:?}");
    assert!(chunked <= 1500 * 600 + 12_000_000 + 1_000_000 + unique_text, "{figures:?}");
    // It is stored again with each node that holds it.
    assert!(figures.inline_bytes >= "inline".len() as u64, "{figures:?}");
    assert!(
        figures.dedup_ratio().unwrap() > 2.0 && figures.total_ratio().unwrap() > 2.0,
        "{figures:?}"
    );
    let named = figures.stored_bytes_of("data")
        + figures.stored_bytes_of("meta")
        + figures.stored_bytes_of("index");
    assert!(named < figures.stored_bytes());
    assert_eq!(figures.chunks + figures.nodes, figures.chunks_indexed);
    let one = stats::of_snapshot(trees.reader(), &first, 2, &Monitor::default()).unwrap();
    assert_eq!(one.unique_bytes - one.inline_bytes + 1_000_000, chunked);
}

/// Every file comes out of `cat` as it went in: inline, in one piece, in a list tree, holes.
#[test]
fn files_are_streamed_as_they_were() {
    let repo = TestRepo::new();
    fill(&repo);
    let sparse = std::fs::File::create(repo.source().join("sparse")).unwrap();
    sparse.set_len(40_000_000).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, &noise(3, 100_000), 20_000_000).unwrap();
    std::os::unix::fs::symlink("some/where", repo.source().join("link")).unwrap();
    let snapshot = repo.snapshot();
    let trees = repo.trees();
    for name in ["large", "twice/large", "text", "tiny", "empty", "sparse", "many/0"] {
        let place = browse::find(&trees, &snapshot, &repo.stored_path(name)).unwrap();
        let mut out = Vec::new();
        let len = browse::cat(&trees, &place, &mut out, &Monitor::default()).unwrap();
        assert_eq!(len, out.len() as u64);
        assert!(out == std::fs::read(repo.source().join(name)).unwrap(), "{name}");
    }
    let link = browse::find(&trees, &snapshot, &repo.stored_path("link")).unwrap();
    let mut out = Vec::new();
    browse::cat(&trees, &link, &mut out, &Monitor::default()).unwrap();
    assert_eq!(out, b"some/where");
    let root = browse::find(&trees, &snapshot, b"/").unwrap();
    assert!(matches!(
        browse::cat(&trees, &root, &mut out, &Monitor::default()),
        Err(browse::Error::NotAFile { .. })
    ));
    assert!(matches!(
        browse::find(&trees, &snapshot, b"/no/such"),
        Err(browse::Error::NoSuchPath { .. })
    ));
}

/// A receiver that fails ends the stream with its own error, and nothing hangs.
#[test]
fn a_failing_receiver_ends_the_stream() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let repo = TestRepo::new();
    fill(&repo);
    let snapshot = repo.snapshot();
    let trees = repo.trees();
    let place = browse::find(&trees, &snapshot, &repo.stored_path("large")).unwrap();
    let error = browse::cat(&trees, &place, &mut Full(5_000_000), &Monitor::default()).unwrap_err();
    assert!(matches!(error, browse::Error::Output { .. }), "{error}");
}
