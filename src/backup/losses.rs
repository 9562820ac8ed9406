//! Sources that lost all or most of their files, for example because a disk is not mounted.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::earlier_files::{EarlierFiles, HAD, files_before};
use super::options::Error;
use crate::format::snapshot::Snapshot;
use crate::monitor::{Monitor, ProblemKind};
use crate::repo;
use crate::sync::lock;

/// Least number of lost files that is reported, if some files are left.
const LOST_MIN: u64 = 5;

/// Outcome and file count of each source.
#[derive(Default)]
pub(super) struct Losses {
    sources: Mutex<BTreeMap<Vec<u8>, SourceState>>,
    has_dump: AtomicBool,
}

/// State of one source.
#[derive(Default)]
struct SourceState {
    /// How many files the parent has of it, if the walk reached the parent's entry.
    parent_files: Option<u64>,
    outcome: SourceOutcome,
}

#[derive(Default)]
enum SourceOutcome {
    /// The walk did not reach it; a problem above it was reported.
    #[default]
    Unreached,
    /// It could not be read.
    Unread(io::Error),
    /// A pattern leaves it out.
    LeftOut,
    /// It is in the snapshot, with so many files.
    Stored(u64),
}

impl Losses {
    /// Starts with these sources, all unreached.
    pub(super) fn of(sources: &[Vec<u8>]) -> Self {
        let sources = sources.iter().map(|path| (path.clone(), SourceState::default())).collect();
        Self { sources: Mutex::new(sources), has_dump: AtomicBool::new(false) }
    }

    /// Notes how many files the parent has of a source.
    pub(super) fn note_parent_files(&self, path: &[u8], files: u64) {
        self.with(path, |source| source.parent_files = Some(files));
    }

    /// Notes that a source is in the snapshot, with so many files.
    pub(super) fn note_stored(&self, path: &[u8], files: u64) {
        self.with(path, |source| source.outcome = SourceOutcome::Stored(files));
    }

    /// Notes that a dump made the file at this path, which may be a source.
    pub(super) fn note_made(&self, path: &[u8]) {
        if let Some(source) = self.lock().get_mut(path) {
            source.outcome = SourceOutcome::Stored(1);
        }
    }

    /// Notes that a dump is in the snapshot.
    pub(super) fn note_dump(&self) {
        self.has_dump.store(true, Ordering::Relaxed);
    }

    /// Notes that a pattern leaves a source out.
    pub(super) fn note_left_out(&self, path: &[u8]) {
        self.with(path, |source| source.outcome = SourceOutcome::LeftOut);
    }

    /// Notes that a source could not be read.
    pub(super) fn note_unread(&self, path: &[u8], error: io::Error) {
        self.with(path, |source| source.outcome = SourceOutcome::Unread(error));
    }

    fn with(&self, path: &[u8], change: impl FnOnce(&mut SourceState)) {
        let path = if path.is_empty() { b"/" } else { path };
        let mut sources = self.lock();
        match sources.get_mut(path) {
            Some(source) => change(source),
            None => change(sources.entry(path.to_vec()).or_default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, SourceState>> {
        lock(&self.sources)
    }

    /// Fails if no source is in the snapshot: none could be read, or patterns leave out the rest.
    pub(super) fn refuse_nothing(&self) -> Result<(), Error> {
        let mut sources = self.lock();
        if self.has_dump.load(Ordering::Relaxed)
            || sources.values().any(|source| matches!(source.outcome, SourceOutcome::Stored(_)))
        {
            return Ok(());
        }
        if sources.values().any(|source| matches!(source.outcome, SourceOutcome::LeftOut)) {
            return Err(Error::AllLeftOut);
        }
        let unread = sources
            .iter_mut()
            .find(|(_, source)| matches!(source.outcome, SourceOutcome::Unread(_)));
        match unread.map(|(path, source)| (path, std::mem::take(&mut source.outcome))) {
            Some((path, SourceOutcome::Unread(source))) => {
                Err(Error::Source { path: String::from_utf8_lossy(path).into_owned(), source })
            }
            _ => Ok(()),
        }
    }

    /// Reports sources that could not be read, and sources that lost their files since earlier
    /// snapshots, or had lost them already.
    ///
    /// Losses come first: the next backup needs them, and a snapshot has no room for all problems.
    pub(super) fn report(
        &self,
        earlier: &mut EarlierFiles,
        allows: bool,
        monitor: &Monitor,
    ) -> repo::Result<()> {
        let mut unread = Vec::new();
        for (path, SourceState { parent_files, outcome }) in std::mem::take(&mut *self.lock()) {
            let (now, error) = match outcome {
                SourceOutcome::LeftOut => continue,
                SourceOutcome::Stored(now) => (now, None),
                SourceOutcome::Unreached => (0, None),
                SourceOutcome::Unread(error) => (0, Some(error)),
            };
            let before = earlier.files(&path, parent_files)?;
            match error {
                Some(error) if before == 0 || allows => unread.push((path, error)),
                Some(error) => {
                    let what = format!("{} and was not read: {error}", had_in_words(before));
                    monitor.source_problem(ProblemKind::Unreadable, &path, what);
                }
                None if is_lost(before, now) => {
                    let kind = if allows { ProblemKind::Notice } else { ProblemKind::Unreadable };
                    monitor.source_problem(kind, &path, in_words(before, now));
                }
                None => {}
            }
        }
        for (path, error) in unread {
            monitor.source_problem(
                ProblemKind::Unreadable,
                &path,
                format!("this source was not read: {error}"),
            );
        }
        Ok(())
    }
}

fn is_lost(before: u64, now: u64) -> bool {
    now == 0 && before > 0 || before.saturating_sub(now) >= LOST_MIN && now < before / 2
}

/// Returns whether a problem of the snapshot says that a source lost its files.
pub(super) fn is_reported_in(snapshot: &Snapshot) -> bool {
    snapshot.problems.iter().any(|problem| files_before(&problem.message).is_some())
}

fn had_in_words(before: u64) -> String {
    let plural = if before == 1 { "" } else { "s" };
    format!("{HAD}{before} file{plural} in an earlier snapshot")
}

fn in_words(before: u64, now: u64) -> String {
    let has = if now == 0 { "none".to_owned() } else { now.to_string() };
    format!(
        "{} and has {has} now: is its disk mounted? (--allow-empty accepts it)",
        had_in_words(before)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_of_all_or_most_files_are_reported() {
        let told = |before, now| u8::from(is_lost(before, now));
        assert_eq!([told(1, 0), told(10, 4), told(1000, 1)], [1; 3]);
        assert_eq!([told(0, 0), told(10, 5), told(4, 1), told(0, 9), told(5, 5)], [0; 5]);
    }

    #[test]
    fn reported_counts_can_be_parsed() {
        for (before, now) in [(1, 0), (120, 3)] {
            assert_eq!(files_before(&in_words(before, now)), Some(before));
        }
        assert_eq!(files_before("permission denied"), None);
    }
}
