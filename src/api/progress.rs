//! Progress, problems and cancellation of a running operation.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::error::Result;
use super::values::path_of;
use crate::monitor::{self, Monitor};

/// How often [`Progress::update`] is called.
const INTERVAL: Duration = Duration::from_millis(100);

/// Hears how an operation goes on, and may stop it.
///
/// `()` hears nothing: `backup.run(&())`.
pub trait Progress: Sync {
    /// Takes the counters so far, ten times a second, and once at the end.
    fn update(&self, counts: &Counts) {
        let _ = counts;
    }

    /// Takes something that could not be handled, after the operation has ended. The first 10,000
    /// of a kind come in words.
    fn problem(&self, problem: &Problem) {
        let _ = problem;
    }

    /// Returns whether the operation is to stop at the next safe point; asked ten times a second.
    fn is_cancelled(&self) -> bool {
        false
    }
}

impl Progress for () {}

/// Counters of a running operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Files of any kind but directories that are done.
    pub files: u64,
    /// Directories that are done.
    pub directories: u64,
    /// Bytes of file content that are done.
    pub bytes: u64,
    /// Files in all; 0 while unknown.
    pub files_total: u64,
    /// Bytes in all; 0 while unknown.
    pub bytes_total: u64,
    /// Bytes sent to, or read from, the repository.
    pub bytes_stored: u64,
    /// Problems so far.
    pub problems: u64,
}

/// Something in a source, a target or the repository that could not be handled; the operation went
/// on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// What it is about; empty if it is about no path.
    pub path: PathBuf,
    /// Its stable name: `unreadable`, `vanished`, `changed`, `not-restored`, `damaged` or `notice`.
    pub kind: &'static str,
    /// The cause, for people.
    pub message: String,
}

impl From<monitor::Problem> for Problem {
    fn from(problem: monitor::Problem) -> Self {
        let path = path_of(problem.path);
        Self { path, kind: problem.kind.name(), message: problem.message }
    }
}

fn counts_of(monitor: &Monitor) -> Counts {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Counts {
        files: get(&monitor.files_done),
        directories: get(&monitor.dirs_done),
        bytes: get(&monitor.bytes_done),
        files_total: get(&monitor.files_total),
        bytes_total: get(&monitor.bytes_total),
        bytes_stored: get(&monitor.bytes_stored),
        problems: monitor.problem_count(),
    }
}

/// Runs an operation while `progress` hears of it.
pub(super) fn watched<T>(
    progress: &dyn Progress,
    monitor: &Monitor,
    run: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let result = thread::scope(|scope| {
        let (done, ended) = channel::<()>();
        scope.spawn(move || {
            while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                progress.update(&counts_of(monitor));
                if progress.is_cancelled() {
                    monitor.cancel();
                }
            }
        });
        let result = run();
        drop(done);
        result
    });
    progress.update(&counts_of(monitor));
    monitor.problems().into_iter().for_each(|problem| progress.problem(&problem.into()));
    result
}
