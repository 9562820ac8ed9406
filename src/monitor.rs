//! The monitor of a running operation: counters, problems, and cancellation.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::sync::lock;

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
    const COUNT: usize = 6;

    /// Returns whether something is not where the user wants it.
    pub fn is_loss(self) -> bool {
        matches!(self, Self::Unreadable | Self::NotRestored | Self::Damaged)
    }

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
    said: Mutex<BTreeSet<&'static str>>,
    counts: [AtomicU64; ProblemKind::COUNT],
}

/// The problems that are kept, each with its place among all.
#[derive(Default)]
struct Problems {
    next: u64,
    /// Of whole sources.
    sources: ProblemList,
    losses: ProblemList,
    others: ProblemList,
}

#[derive(Default)]
struct ProblemList {
    problems: Vec<(u64, Problem)>,
    len_bytes: usize,
}

/// Most bytes of the path that is shown while it is worked on.
const SHOWN_PATH_MAX_BYTES: usize = 4 << 10;

/// How many problems a [`Monitor`] keeps in words, and how many bytes of their paths and words; the
/// rest are only counted. What is a loss has this room for itself: however much else there is to
/// tell, it is named. So has what is about whole sources.
pub const PROBLEMS_KEPT_MAX: usize = 10_000;
const PROBLEMS_KEPT_MAX_BYTES: usize = 16 << 20;

impl Monitor {
    /// Asks the operation to stop at the next safe point.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Forgets what was counted and found, because the operation begins again.
    pub fn begin_again(&self) {
        let counters = [&self.files_done, &self.dirs_done, &self.bytes_done, &self.bytes_stored];
        counters
            .into_iter()
            .chain(&self.counts)
            .for_each(|counter| counter.store(0, Ordering::Relaxed));
        *lock(&self.problems) = Problems::default();
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
        lock(&self.current).clone()
    }

    /// Records something worth knowing that holds for much more than the path where it was met
    /// first.
    pub fn notice_once(&self, path: &[u8], message: &'static str) {
        if lock(&self.said).insert(message) {
            self.problem(ProblemKind::Notice, path, message);
        }
    }

    /// Records a problem; the operation's caller decides about the exit code.
    pub fn problem(&self, kind: ProblemKind, path: &[u8], message: impl Into<String>) {
        self.keep(kind, path, message.into(), |problems| {
            if kind.is_loss() { &mut problems.losses } else { &mut problems.others }
        });
    }

    /// Records a problem of a whole source: it comes before all others, however many these are.
    pub fn source_problem(&self, kind: ProblemKind, path: &[u8], message: impl Into<String>) {
        self.keep(kind, path, message.into(), |problems| &mut problems.sources);
    }

    fn keep(
        &self,
        kind: ProblemKind,
        path: &[u8],
        message: String,
        room: impl FnOnce(&mut Problems) -> &mut ProblemList,
    ) {
        self.counts[kind as usize].fetch_add(1, Ordering::Relaxed);
        let mut problems = lock(&self.problems);
        let place = problems.next;
        problems.next += 1;
        let kept = room(&mut problems);
        let len_bytes = kept.len_bytes + path.len() + message.len();
        if kept.problems.len() < PROBLEMS_KEPT_MAX && len_bytes <= PROBLEMS_KEPT_MAX_BYTES {
            kept.len_bytes = len_bytes;
            kept.problems.push((place, Problem { path: path.to_vec(), kind, message }));
        }
    }

    /// Returns the problems so far, those of whole sources first, then the others in their order:
    /// of sources, of losses and of others at most [`PROBLEMS_KEPT_MAX`] each, and fewer if their
    /// paths are long.
    pub fn problems(&self) -> Vec<Problem> {
        let problems = lock(&self.problems);
        let mut all: Vec<_> =
            problems.losses.problems.iter().chain(&problems.others.problems).collect();
        all.sort_by_key(|(place, _)| *place);
        problems.sources.problems.iter().chain(all).map(|(_, problem)| problem.clone()).collect()
    }

    /// Returns how many problems there were, kept in words or not.
    pub fn problem_count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Returns how many losses there were, kept in words or not.
    pub fn loss_count(&self) -> u64 {
        let kinds = [ProblemKind::Unreadable, ProblemKind::NotRestored, ProblemKind::Damaged];
        kinds.into_iter().map(|kind| self.count_of(kind)).sum()
    }

    /// Returns how many problems there were of one kind, kept in words or not.
    pub fn count_of(&self, kind: ProblemKind) -> u64 {
        self.counts[kind as usize].load(Ordering::Relaxed)
    }
}

/// Joins an error and its causes into one line; what a transparent wrapper would say twice is said
/// once.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_named_however_much_else_there_is() {
        let monitor = Monitor::default();
        (0..2 * PROBLEMS_KEPT_MAX)
            .for_each(|_| monitor.problem(ProblemKind::Notice, b"/x", "left out"));
        monitor.problem(ProblemKind::Unreadable, b"/precious", "denied");
        monitor.problem(ProblemKind::Changed, b"/x", "changed");
        let problems = monitor.problems();
        assert_eq!(
            (problems.len(), monitor.problem_count()),
            (PROBLEMS_KEPT_MAX + 1, 2 * PROBLEMS_KEPT_MAX as u64 + 2)
        );
        assert_eq!(problems.last().map(|last| &last.path[..]), Some(&b"/precious"[..]));
        (0..PROBLEMS_KEPT_MAX)
            .for_each(|_| monitor.problem(ProblemKind::Unreadable, b"/x", "denied"));
        monitor.source_problem(ProblemKind::Unreadable, b"/source", "gone");
        assert_eq!(monitor.problems().first().map(|first| &first.path[..]), Some(&b"/source"[..]));
        assert_eq!(
            [ProblemKind::Unreadable, ProblemKind::Changed].map(|kind| monitor.count_of(kind)),
            [2 + PROBLEMS_KEPT_MAX as u64, 1]
        );
        monitor.begin_again();
        assert_eq!((monitor.problems().len(), monitor.problem_count()), (0, 0));
    }
}
