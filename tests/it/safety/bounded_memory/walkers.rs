//! All walks through a snapshot, under a budget of steps and time.
//!
//! Also compiled into the fuzz target `structure`.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use drumlin::browse::{
    self, Criteria, Diff, DiskUsages, NamePatterns, PatternOptions, Search, TreeWalk, WindowLimits,
};
use drumlin::format::snapshot::Snapshot;
use drumlin::maintain::check::{self, CheckOptions, Level};
use drumlin::maintain::stats;
use drumlin::monitor::Monitor;
use drumlin::repo::{Reader, Repository, Trees};
use drumlin::restore::archive::{self, ArchiveFormat, ArchiveOutput};
use drumlin::restore::{self, RestoreOptions};

/// Steps of a walk that would never end.
const STEPS_MAX: usize = 20_000;
/// After this time a walk is told to stop, and then it must within [`STOPS_WITHIN`].
const TIME: Duration = Duration::from_millis(40);
const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// Runs a walker and tells it to stop when its time is over; fails if it does not.
fn limited(what: &str, walker: impl FnOnce(&Monitor) + Send) {
    let monitor = Monitor::default();
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let monitor = &monitor;
        scope.spawn(move || {
            walker(monitor);
            drop(done);
        });
        if is_done.recv_timeout(TIME) == Err(mpsc::RecvTimeoutError::Timeout) {
            monitor.cancel();
            let stopped = is_done.recv_timeout(STOPS_WITHIN);
            if stopped == Err(mpsc::RecvTimeoutError::Timeout) {
                // Nobody can end a thread: this must not wait for it.
                eprintln!("{what} did not stop");
                std::process::abort();
            }
        }
    });
}

/// Walks through two snapshots in every way that there is; what is refused is refused, and all else
/// ends.
pub fn walk_all(repository: &Arc<Repository>, snapshots: &[Snapshot; 2], scratch: &Path) {
    let trees = &Trees::new(Reader::new(repository).unwrap());
    let [left, right] = snapshots;
    limited("ls", |_| TreeWalk::new(trees, &right.root, b"", true).take(STEPS_MAX).for_each(drop));
    limited("find", |monitor| {
        let patterns = NamePatterns::new(&["*1".to_owned()], PatternOptions::default()).unwrap();
        let mut search = Search::new(trees, patterns, Criteria::default());
        for snapshot in snapshots {
            search.enter(&snapshot.root, b"");
            (0..STEPS_MAX).take_while(|_| search.step(monitor).is_some()).for_each(drop);
        }
    });
    let place = |snapshot: &Snapshot| browse::find(trees, snapshot, b"/").unwrap();
    limited("du", |_| DiskUsages::new(trees, &place(right), 10).take(STEPS_MAX).for_each(drop));
    limited("diff", |monitor| {
        let diff =
            Diff::new(trees, [&place(left), &place(right)], WindowLimits::default(), monitor);
        diff.take(STEPS_MAX).for_each(drop);
    });
    limited("history", |monitor| {
        let _ = browse::history(trees, snapshots, b"/000000/000001", monitor);
    });
    limited("stats", |monitor| {
        let _ = stats::of_snapshot(trees.reader(), right, 2, monitor);
    });
    limited("check", |monitor| {
        let _ = check::run(
            repository,
            &CheckOptions { level: Level::Structure, threads: 2, now: right.started },
            monitor,
        );
    });
    restores(repository, right, scratch);
}

/// A receiver that takes a little and then breaks off: files of holes may be as long as they like.
struct Short(usize);

impl Write for Short {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 =
            self.0.checked_sub(bytes.len()).ok_or_else(|| io::Error::other("that is enough"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn restores(repository: &Arc<Repository>, snapshot: &Snapshot, scratch: &Path) {
    let options =
        RestoreOptions { target: scratch.join("target"), threads: 2, ..RestoreOptions::default() };
    limited("a dry run", |monitor| {
        let _ = restore::list(repository, snapshot, &options, monitor, &mut |_| {});
    });
    limited("needed packs", |monitor| {
        let _ = restore::needed_packs(repository, snapshot, &options, monitor);
    });
    for format in [ArchiveFormat::Tar, ArchiveFormat::Zip] {
        limited("an archive", |monitor| {
            let archive = ArchiveOutput { format, out: &mut Short(16 << 20) };
            let _ = archive::write(repository, snapshot, &options, archive, monitor);
        });
    }
    limited("a restore", |monitor| {
        let _ = restore::run(repository, snapshot, &options, monitor);
    });
    limited("a restore that verifies", |monitor| {
        let _ = restore::run(
            repository,
            snapshot,
            &RestoreOptions { verify: true, ..options.clone() },
            monitor,
        );
    });
    let began = Instant::now();
    // A tree that is deeper than the longest path must be removed step by step.
    let _ = std::process::Command::new("rm").arg("-rf").arg(&options.target).status();
    assert!(began.elapsed() < STOPS_WITHIN);
}
