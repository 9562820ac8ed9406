//! What a running operation tells its caller: counters, problems, and a wish to stop.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Something in the source (or target) that could not be handled; the operation goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Raw bytes of the path it is about.
    pub path: Vec<u8>,
    /// What happened.
    pub kind: ProblemKind,
    /// The cause, for people.
    pub message: String,
}

/// The kinds of [`Problem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// It could not be read, so it is not (or not wholly) in the snapshot.
    Unreadable,
    /// It went away between listing and reading.
    Vanished,
    /// It changed while being read: what is stored may mix two states.
    Changed,
    /// Part of it (an attribute, an owner) could not be restored.
    NotRestored,
    /// Stored data is damaged or missing.
    Damaged,
    /// Left out on purpose, but worth knowing.
    Notice,
}

impl ProblemKind {
    /// Returns the stable name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Vanished => "vanished",
            Self::Changed => "changed",
            Self::NotRestored => "not-restored",
            Self::Damaged => "damaged",
            Self::Notice => "notice",
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Counters, problems and the cancel flag of one operation; shared by its threads and its caller.
///
/// Nothing here prints: the shell reads it on a timer.
#[derive(Default)]
pub struct Monitor {
    /// Files (of any kind but folders) finished so far.
    pub files_done: AtomicU64,
    /// Folders finished so far.
    pub dirs_done: AtomicU64,
    /// Bytes of file content finished so far.
    pub bytes_done: AtomicU64,
    /// Expected files, 0 while unknown.
    pub files_total: AtomicU64,
    /// Expected bytes, 0 while unknown.
    pub bytes_total: AtomicU64,
    /// Bytes sent to, or read from, the repository.
    pub bytes_stored: AtomicU64,
    cancelled: AtomicBool,
    current: Mutex<Vec<u8>>,
    problems: Mutex<Problems>,
    problem_count: AtomicU64,
}

/// The problems that are kept.
#[derive(Default)]
struct Problems {
    kept: Vec<Problem>,
    len_bytes: usize,
}

/// Most bytes of the path that is shown while it is worked on.
const SHOWN_PATH_MAX_BYTES: usize = 4 << 10;

/// How many problems a [`Monitor`] keeps in words, and how many bytes of their paths and words; the rest are only counted.
pub const PROBLEMS_KEPT_MAX: usize = 10_000;
const PROBLEMS_KEPT_MAX_BYTES: usize = 16 << 20;

impl Monitor {
    /// Asks the operation to stop at the next safe point.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Forgets what was counted and found, because the operation begins again.
    pub fn begin_again(&self) {
        for counter in [&self.files_done, &self.dirs_done, &self.bytes_done, &self.bytes_stored, &self.problem_count] {
            counter.store(0, Ordering::Relaxed);
        }
        *self.problems.lock().unwrap_or_else(PoisonError::into_inner) = Problems::default();
    }

    /// Returns whether the operation was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Notes the path that is being worked on; cheap, and skipped when another thread is doing so.
    pub fn working_on(&self, path: &[u8]) {
        if let Ok(mut current) = self.current.try_lock() {
            current.clear();
            // Of a long path the end says more, and this is called for every file.
            current.extend_from_slice(&path[path.len().saturating_sub(SHOWN_PATH_MAX_BYTES)..]);
        }
    }

    /// Returns the path that was being worked on last.
    pub fn current_path(&self) -> Vec<u8> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records a problem; the operation's caller decides about the exit code.
    pub fn problem(&self, kind: ProblemKind, path: &[u8], message: impl Into<String>) {
        self.problem_count.fetch_add(1, Ordering::Relaxed);
        let message = message.into();
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let len_bytes = problems.len_bytes + path.len() + message.len();
        if problems.kept.len() < PROBLEMS_KEPT_MAX && len_bytes <= PROBLEMS_KEPT_MAX_BYTES {
            problems.len_bytes = len_bytes;
            problems.kept.push(Problem { path: path.to_vec(), kind, message });
        }
    }

    /// Returns the problems so far (at most [`PROBLEMS_KEPT_MAX`], and fewer if their paths are long).
    pub fn problems(&self) -> Vec<Problem> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).kept.clone()
    }

    /// Returns how many problems there were, kept in words or not.
    pub fn problem_count(&self) -> u64 {
        self.problem_count.load(Ordering::Relaxed)
    }
}

/// Joins an error and its causes into one line; what a transparent wrapper would say twice is said once.
pub fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.ends_with(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        source = cause.source();
    }
    words
}
