//! The monitor of a running operation: counters, problems, and cancellation.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::sync::lock;

/// A problem with one path of the source or target; the operation continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Raw bytes of the path.
    pub path: Vec<u8>,
    /// The kind.
    pub kind: ProblemKind,
    /// The cause, for people.
    pub message: String,
}

/// The kinds of [`Problem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// It could not be read, so the snapshot lacks it or a part of it.
    Unreadable,
    /// It vanished between listing and reading.
    Vanished,
    /// It changed while it was read: the stored content may mix two states.
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

    /// Returns whether data is missing from the snapshot or the target.
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
    /// Finished files of any kind except directories.
    pub files_done: AtomicU64,
    /// Finished directories.
    pub dirs_done: AtomicU64,
    /// Finished bytes of file content.
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
    hearer: OnceLock<Hearer>,
}

/// A receiver of what programs say: the name of the program, and a line.
type Hearer = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// The recorded problems, each with its position among all.
#[derive(Default)]
struct Problems {
    next: u64,
    /// Problems of whole sources.
    sources: ProblemList,
    losses: ProblemList,
    others: ProblemList,
}

#[derive(Default)]
struct ProblemList {
    problems: Vec<(u64, Problem)>,
    len_bytes: usize,
}

/// Longest path that is shown as the current one, in bytes.
const SHOWN_PATH_MAX_BYTES: usize = 4 << 10;

/// Limits of recorded problems: their number, and the bytes of their paths and messages. Further
/// ones are only counted. Losses, problems of whole sources, and all others have separate limits,
/// so that losses are always recorded.
pub const PROBLEMS_KEPT_MAX: usize = 10_000;
const PROBLEMS_KEPT_MAX_BYTES: usize = 16 << 20;

impl Monitor {
    /// Asks the operation to stop at the next safe point.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Resets counters and problems, because the operation starts again.
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

    /// Sets the receiver of lines that programs write to standard error; the first one stays.
    ///
    /// It is called by several threads.
    pub fn hear_programs(&self, hearer: impl Fn(&str, &str) + Send + Sync + 'static) {
        let _ = self.hearer.set(Arc::new(hearer));
    }

    /// Returns a monitor for what must still be done after a cancellation; it has nothing of this
    /// one but the receiver of what programs say.
    pub fn after_cancellation(&self) -> Arc<Self> {
        Arc::new(Self { hearer: self.hearer.clone(), ..Self::default() })
    }

    /// Passes on a line that a program wrote to standard error.
    pub fn program_said(&self, program: &str, line: &str) {
        if let Some(hearer) = self.hearer.get() {
            hearer(program, line);
        }
    }

    /// Sets the current path; skipped while another thread does so.
    pub fn working_on(&self, path: &[u8]) {
        if let Ok(mut current) = self.current.try_lock() {
            current.clear();
            // Only the end of a long path, because this is called for every file.
            current.extend_from_slice(&path[path.len().saturating_sub(SHOWN_PATH_MAX_BYTES)..]);
        }
    }

    /// Returns the current path.
    pub fn current_path(&self) -> Vec<u8> {
        lock(&self.current).clone()
    }

    /// Records a notice once, at the first path that it applies to.
    pub fn notice_once(&self, path: &[u8], message: &'static str) {
        if lock(&self.said).insert(message) {
            self.problem(ProblemKind::Notice, path, message);
        }
    }

    /// Records a problem.
    pub fn problem(&self, kind: ProblemKind, path: &[u8], message: impl Into<String>) {
        self.keep(kind, path, message.into(), |problems| {
            if kind.is_loss() { &mut problems.losses } else { &mut problems.others }
        });
    }

    /// Records a problem of a whole source, which is listed before all others.
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

    /// Returns the recorded problems: those of whole sources first, then the others in their order.
    pub fn problems(&self) -> Vec<Problem> {
        let problems = lock(&self.problems);
        let mut all: Vec<_> =
            problems.losses.problems.iter().chain(&problems.others.problems).collect();
        all.sort_by_key(|(place, _)| *place);
        problems.sources.problems.iter().chain(all).map(|(_, problem)| problem.clone()).collect()
    }

    /// Returns the number of all problems, recorded or only counted.
    pub fn problem_count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Returns the number of all losses, recorded or only counted.
    pub fn loss_count(&self) -> u64 {
        let kinds = [ProblemKind::Unreadable, ProblemKind::NotRestored, ProblemKind::Damaged];
        kinds.into_iter().map(|kind| self.count_of(kind)).sum()
    }

    /// Returns the number of all problems of a kind, recorded or only counted.
    pub fn count_of(&self, kind: ProblemKind) -> u64 {
        self.counts[kind as usize].load(Ordering::Relaxed)
    }
}

/// Joins an error and its causes into one line; skips repetitions by transparent wrappers.
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
