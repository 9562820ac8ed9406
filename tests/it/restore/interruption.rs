//! Interrupted restores: run again, they take nothing half written for right, and use what is
//! right.

use std::fs;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use drumlin::monitor::Monitor;
use drumlin::repo::{OpenOptions, Repository};
use drumlin::restore::{self, Error};
use drumlin::store::layers;
use drumlin::store::{Class, Key, Store, StoreError};

use super::{options, restore_well, target};
use crate::support::fixture::{TestRepo, noise, secret, write};
use crate::support::full_tree::differences;
use crate::support::needs::{can_run, holds_xattrs, is_root};

/// A store that cancels the restore at the n-th read of data, as somebody with Ctrl-C would.
struct Interrupter {
    inner: Arc<dyn Store>,
    left: AtomicI64,
    monitor: Arc<Monitor>,
}

impl layers::Layer for Interrupter {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        if key.class == Class::Data && self.left.fetch_sub(1, Ordering::Relaxed) <= 0 {
            self.monitor.cancel();
        }
        self.inner.read_into(key, range, out)
    }
}

/// Opens the repository again so that the restore is cancelled after `reads` reads of data.
fn interrupted(repo: &TestRepo, reads: i64) -> (Arc<Repository>, Arc<Monitor>) {
    let monitor = Arc::new(Monitor::default());
    let store = Interrupter {
        inner: repo.store.clone(),
        left: AtomicI64::new(reads),
        monitor: monitor.clone(),
    };
    let options = OpenOptions { cache_dir: repo.scratch.path().join("cache"), prefer_cached: true };
    (Repository::open(Arc::new(store), &secret(), &options).unwrap(), monitor)
}

#[test]
fn stopped_anywhere_it_continues_and_ends_equal() {
    let repo = TestRepo::new();
    let source = repo.source();
    (0..200).for_each(|n| write(&source.join(format!("d{}/f{n}", n % 9)), &noise(n, 20_000)));
    write(&source.join("large"), &noise(500, 16 << 20));
    fs::hard_link(source.join("large"), source.join("linked")).unwrap();
    fs::File::create(source.join("sparse")).unwrap().set_len(50 << 20).unwrap();
    crate::support::fixture::let_time_pass();
    let snapshot = repo.backup("host").snapshot.unwrap();
    let whole = snapshot.stats.totals.bytes;
    let mut options = options(&repo, &target(&repo));
    options.low_memory = true;
    let mut written = 0;
    for reads in [0, 1, 2, 3] {
        let (repository, monitor) = interrupted(&repo, reads);
        let stopped = restore::run(&repository, &snapshot, &options, &monitor);
        assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
        assert_eq!(monitor.problems(), []);
        assert!(!target(&repo).join("linked").exists(), "a link to a file that is not whole");
        written += monitor.bytes_done.load(Ordering::Relaxed);
    }
    let report = restore_well(&repo, &snapshot, &options);
    assert_eq!(differences(&source, &target(&repo)), "");
    assert!(written > 0 && report.bytes_kept > 0, "nothing was used again: {report:?}");
    assert!(report.bytes_written < whole, "{report:?}");
}

#[test]
fn a_half_written_file_with_the_right_length_is_compared() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("large"), &noise(500, 20 << 20));
    crate::support::fixture::let_time_pass();
    let snapshot = repo.backup("host").snapshot.unwrap();
    let (repository, monitor) = interrupted(&repo, 2);
    let options = options(&repo, &target(&repo));
    assert!(restore::run(&repository, &snapshot, &options, &monitor).is_err());
    let half = fs::metadata(target(&repo).join("large")).unwrap();
    assert_eq!(half.len(), 20 << 20);
    assert_ne!(
        half.modified().unwrap(),
        fs::metadata(source.join("large")).unwrap().modified().unwrap()
    );
    let report = restore_well(&repo, &snapshot, &options);
    assert_eq!(differences(&source, &target(&repo)), "");
    assert!(
        report.bytes_kept > 0 && report.bytes_kept + report.bytes_written == 20 << 20,
        "{report:?}"
    );
}

#[test]
fn after_another_boot_time_and_length_are_not_believed() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("file"), &noise(1, 300_000));
    crate::support::fixture::let_time_pass();
    let snapshot = repo.backup("host").snapshot.unwrap();
    let target = target(&repo);
    let options = options(&repo, &target);
    restore_well(&repo, &snapshot, &options);
    // What a power cut may leave: the right time and length, the mark of a restore under way, and
    // no data.
    let modified = fs::metadata(target.join("file")).unwrap().modified().unwrap();
    fs::write(target.join("file"), vec![0; 300_000]).unwrap();
    let file = fs::File::options().write(true).open(target.join("file")).unwrap();
    file.set_times(fs::FileTimes::new().set_modified(modified)).unwrap();
    let mark = |value: &[u8]| {
        rustix::fs::setxattr(
            &target,
            "user.drumlin.restoring",
            value,
            rustix::fs::XattrFlags::empty(),
        )
    };
    if !can_run(holds_xattrs(&target), "a file system with attributes") {
        return;
    }
    mark(b"0123-another-boot new").unwrap();
    restore_well(&repo, &snapshot, &options);
    assert_eq!(differences(&source, &target), "");
}

#[test]
fn what_a_restore_of_another_snapshot_left_is_compared() {
    let repo = TestRepo::new();
    let source = repo.source();
    let time = std::time::SystemTime::now() - Duration::from_secs(1000);
    let write_at = |path: &std::path::Path, seed: u64| {
        write(path, &noise(seed, 300_000));
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    };
    let snapshots = [1, 2].map(|seed| {
        write_at(&source.join("file"), seed);
        repo.backup("host").snapshot.unwrap()
    });
    let target = target(&repo);
    let options = options(&repo, &target);
    let (repository, monitor) = interrupted(&repo, 0);
    assert!(restore::run(&repository, &snapshots[0], &options, &monitor).is_err());
    if !can_run(holds_xattrs(&target), "a file system with attributes") {
        return;
    }
    let mut mark = vec![0; 1000];
    let len = rustix::fs::getxattr(&target, "user.drumlin.restoring", &mut mark[..]).unwrap();
    let mark = String::from_utf8(mark[..len].to_vec()).unwrap();
    let mark = format!("{}-9999999999.0", mark.rsplit_once('-').unwrap().0);
    for (number, kept) in [(0, 300_000), (1, 0)] {
        write_at(&target.join("file"), 1 + number as u64 * 10);
        rustix::fs::setxattr(
            &target,
            "user.drumlin.restoring",
            mark.as_bytes(),
            rustix::fs::XattrFlags::empty(),
        )
        .unwrap();
        let report = restore_well(&repo, &snapshots[number], &options);
        assert_eq!(report.bytes_kept, kept, "{number}");
    }
    assert_eq!(differences(&source, &target), "");
}

#[test]
fn a_file_that_was_not_cut_yet_is_cut_by_the_next_run() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("large"), &noise(500, 4 << 20));
    crate::support::fixture::let_time_pass();
    let snapshot = repo.backup("host").snapshot.unwrap();
    let options = options(&repo, &target(&repo));
    let there = [&noise(500, 2 << 20)[..], &noise(501, 4 << 20)].concat();
    write(&target(&repo).join("large"), &there);
    let (repository, monitor) = interrupted(&repo, 0);
    assert!(restore::run(&repository, &snapshot, &options, &monitor).is_err());
    assert_eq!(fs::metadata(target(&repo).join("large")).unwrap().len(), 6 << 20);
    let report = restore_well(&repo, &snapshot, &options);
    let inside = differences(&source, &target(&repo));
    assert!(inside.lines().all(|line| line.ends_with(" ./")), "{inside}");
    assert_eq!(report.files_kept, 0);
    // Nothing but its end is wrong.
    let file = fs::File::options().append(true).open(target(&repo).join("large")).unwrap();
    std::io::Write::write_all(&mut &file, b"more").unwrap();
    let report =
        restore_well(&repo, &snapshot, &restore::RestoreOptions { verify: true, ..options });
    assert_eq!((report.files_kept, report.bytes_written, report.verify_failed), (0, 0, 0));
    assert_eq!(fs::read(target(&repo).join("large")).unwrap(), noise(500, 4 << 20));
}

#[test]
fn a_restore_that_stops_gives_back_the_folders_of_others() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    if !can_run(is_root(), "root, to make files of others") {
        return;
    }
    let repo = TestRepo::new();
    let source = repo.source();
    for (name, seed) in [("alice/photos/large", 1), ("bob/large", 2), ("carol/large", 3)] {
        write(&source.join(name), &noise(seed, 4 << 20));
    }
    let snapshot = repo.backup("host").snapshot.unwrap();
    let target = target(&repo);
    let folders = [
        ("alice", 1234, 0o750),
        ("alice/photos", 1234, 0o3770),
        ("bob", 1235, 0o500),
        ("carol", 0, 0o777),
    ];
    for (name, uid, mode) in folders {
        fs::create_dir_all(target.join(name)).unwrap();
        chown(target.join(name), Some(uid), Some(uid)).unwrap();
        fs::set_permissions(target.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let has = |name: &str| {
        let stat = fs::metadata(target.join(name)).unwrap();
        (stat.uid(), stat.gid(), stat.mode() & 0o7777)
    };
    let options = options(&repo, &target);
    for reads in [0, 1] {
        let (repository, monitor) = interrupted(&repo, reads);
        let stopped = restore::run(&repository, &snapshot, &options, &monitor);
        assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
        assert_eq!(monitor.problems(), []);
        for (name, uid, mode) in folders {
            let done = fs::metadata(source.join(name)).unwrap();
            let is_finished = has(name) == (done.uid(), done.gid(), done.mode() & 0o7777);
            assert!(
                is_finished || has(name) == (uid, uid, mode),
                "{reads} {name}: {:?}",
                has(name)
            );
            assert!(reads > 0 || !is_finished, "{name} cannot be finished");
        }
    }
    restore_well(&repo, &snapshot, &options);
    for (name, ..) in folders {
        let done = fs::metadata(source.join(name)).unwrap();
        assert_eq!(has(name), (done.uid(), done.gid(), done.mode() & 0o7777), "{name}");
    }
}

#[test]
fn it_stops_within_a_second() {
    let repo = TestRepo::new();
    let source = repo.source();
    (0..3000).for_each(|n| write(&source.join(format!("d{}/f{n}", n % 50)), &noise(n, 2000)));
    write(&source.join("large"), &noise(1, 60 << 20));
    let snapshot = repo.backup("host").snapshot.unwrap();
    for after_ms in [0, 20, 100] {
        let monitor = Arc::new(Monitor::default());
        let options = options(&repo, &repo.scratch.path().join(format!("target {after_ms}")));
        let stopper = monitor.clone();
        let cancelled = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(after_ms));
            stopper.cancel();
            Instant::now()
        });
        let result = restore::run(&repo.repository, &snapshot, &options, &monitor);
        let ended = Instant::now();
        let asked = cancelled.join().unwrap();
        assert!(matches!(result, Err(Error::Cancelled) | Ok(_)));
        assert!(ended.saturating_duration_since(asked) < Duration::from_secs(1));
    }
}
