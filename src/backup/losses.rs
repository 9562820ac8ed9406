//! Sources that had files and have none any more, or lost most of them: a disk that is not mounted
//! looks like that.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::earlier::{Earlier, HAD, before_of};
use super::options::Error;
use crate::format::snapshot::Snapshot;
use crate::monitor::{Monitor, ProblemKind};
use crate::repo;
use crate::sync::lock;

/// From how many lost files on it is worth saying that most of them are gone.
const LOST_MIN: u64 = 5;

/// What became of each source, and of its files.
#[derive(Default)]
pub struct Losses {
    sources: Mutex<BTreeMap<Vec<u8>, Fate>>,
    has_stream: AtomicBool,
}

/// What is known of one source.
#[derive(Default)]
struct Fate {
    /// How many files the parent has of it, if the walk met its entry there.
    had: Option<u64>,
    became: Became,
}

#[derive(Default)]
enum Became {
    /// Nobody came to it; what lies above it was told.
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
    /// Begins with these sources, to which nobody came yet.
    pub fn of(sources: &[Vec<u8>]) -> Self {
        let sources = sources.iter().map(|path| (path.clone(), Fate::default())).collect();
        Self { sources: Mutex::new(sources), has_stream: AtomicBool::new(false) }
    }

    /// Notes how many files the parent has of a source.
    pub fn had(&self, path: &[u8], files: u64) {
        self.with(path, |source| source.had = Some(files));
    }

    /// Notes that a source is in the snapshot, with so many files.
    pub fn stored(&self, path: &[u8], files: u64) {
        self.with(path, |source| source.became = Became::Stored(files));
    }

    /// Notes that a stream is in the snapshot.
    pub fn stored_stream(&self) {
        self.has_stream.store(true, Ordering::Relaxed);
    }

    /// Notes that a pattern leaves a source out.
    pub fn left_out(&self, path: &[u8]) {
        self.with(path, |source| source.became = Became::LeftOut);
    }

    /// Notes that a source could not be read.
    pub fn unread(&self, path: &[u8], error: io::Error) {
        self.with(path, |source| source.became = Became::Unread(error));
    }

    fn with(&self, path: &[u8], change: impl FnOnce(&mut Fate)) {
        let path = if path.is_empty() { b"/" } else { path };
        let mut sources = self.lock();
        match sources.get_mut(path) {
            Some(source) => change(source),
            None => change(sources.entry(path.to_vec()).or_default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Fate>> {
        lock(&self.sources)
    }

    /// Fails if no source at all is in the snapshot, because none could be read or patterns leave
    /// out the rest.
    pub fn refuse_nothing(&self) -> Result<(), Error> {
        let mut sources = self.lock();
        if self.has_stream.load(Ordering::Relaxed)
            || sources.values().any(|source| matches!(source.became, Became::Stored(_)))
        {
            return Ok(());
        }
        if sources.values().any(|source| matches!(source.became, Became::LeftOut)) {
            return Err(Error::AllLeftOut);
        }
        let unread =
            sources.iter_mut().find(|(_, source)| matches!(source.became, Became::Unread(_)));
        match unread.map(|(path, source)| (path, std::mem::take(&mut source.became))) {
            Some((path, Became::Unread(source))) => {
                Err(Error::Source { path: String::from_utf8_lossy(path).into_owned(), source })
            }
            _ => Ok(()),
        }
    }

    /// Says which sources could not be read, and which have lost their files since earlier
    /// snapshots, or had lost them then already.
    ///
    /// What was lost comes first: it is to be known next time, and there may be no room for all.
    pub fn tell(&self, earlier: &mut Earlier, allows: bool, monitor: &Monitor) -> repo::Result<()> {
        let mut unread = Vec::new();
        for (path, Fate { had, became }) in std::mem::take(&mut *self.lock()) {
            let (now, error) = match became {
                Became::LeftOut => continue,
                Became::Stored(now) => (now, None),
                Became::Unreached => (0, None),
                Became::Unread(error) => (0, Some(error)),
            };
            let before = earlier.files(&path, had)?;
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

/// Returns whether the snapshot says of any source that it lost its files.
pub fn is_told_in(snapshot: &Snapshot) -> bool {
    snapshot.problems.iter().any(|problem| before_of(&problem.message).is_some())
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
    fn nothing_left_is_told_and_so_is_little() {
        let told = |before, now| u8::from(is_lost(before, now));
        assert_eq!([told(1, 0), told(10, 4), told(1000, 1)], [1; 3]);
        assert_eq!([told(0, 0), told(10, 5), told(4, 1), told(0, 9), told(5, 5)], [0; 5]);
    }

    #[test]
    fn what_was_told_can_be_read_again() {
        for (before, now) in [(1, 0), (120, 3)] {
            assert_eq!(before_of(&in_words(before, now)), Some(before));
        }
        assert_eq!(before_of("permission denied"), None);
    }
}
