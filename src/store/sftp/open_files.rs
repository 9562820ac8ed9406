//! Cache of open files: the next read of the same file saves the round trip that opens it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::multiplexer::Sent;
use super::wire::Handle;

use crate::sync::lock;

/// Usually enough for the index runs and the tree packs of one lookup. The server holds each of
/// them open.
const FILES_MAX: usize = 32;
/// Maximum time for which a file that another process removed or replaced is still read.
const TIME_MAX: Duration = Duration::from_secs(10);

/// An open file, or the pending request to open it.
#[derive(Debug)]
pub(super) struct CachedFile {
    /// Its path on the server.
    pub path: PathBuf,
    /// The server's handle.
    pub handle: FileHandle,
    /// When the server was asked to open it.
    pub since: Instant,
}

/// A handle, or the pending request for it.
#[derive(Debug)]
pub(super) enum FileHandle {
    /// The file is open.
    Open(Handle),
    /// The reply to this request holds the handle.
    Requested(Sent),
}

impl CachedFile {
    fn is(&self, path: &Path) -> bool {
        self.path == path && !self.is_old()
    }

    fn is_old(&self) -> bool {
        self.since.elapsed() >= TIME_MAX
    }
}

/// Files of a connection that are open and not in use. Two concurrent reads of one file open it
/// twice.
#[derive(Default)]
pub(super) struct OpenFileCache(Mutex<VecDeque<CachedFile>>);

impl OpenFileCache {
    /// Returns whether the file is cached and fresh.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.files().iter().any(|file| file.is(path))
    }

    /// Takes a fresh file out; the caller puts it back or closes it.
    pub(super) fn take(&self, path: &Path) -> Option<CachedFile> {
        let mut files = self.files();
        let at = files.iter().position(|file| file.is(path))?;
        files.remove(at)
    }

    /// Adds a file; returns those that the caller must close: evicted and expired ones.
    pub(super) fn put(&self, file: CachedFile) -> Vec<CachedFile> {
        let mut files = self.files();
        files.push_back(file);
        let over = files.len().saturating_sub(FILES_MAX);
        let mut closed: Vec<CachedFile> = files.drain(..over).collect();
        let (old, young): (VecDeque<_>, VecDeque<_>) =
            files.drain(..).partition(CachedFile::is_old);
        *files = young;
        closed.extend(old);
        closed
    }

    fn files(&self) -> MutexGuard<'_, VecDeque<CachedFile>> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(number: usize, age: Duration) -> CachedFile {
        let since = Instant::now().checked_sub(age).unwrap();
        CachedFile {
            path: number.to_string().into(),
            handle: FileHandle::Open(Handle::default()),
            since,
        }
    }

    fn names(files: &[CachedFile]) -> Vec<&str> {
        files.iter().map(|file| file.path.to_str().unwrap()).collect()
    }

    #[test]
    fn few_stay_open_and_not_for_long() {
        let cache = OpenFileCache::default();
        for number in 0..FILES_MAX {
            assert!(cache.put(file(number, Duration::ZERO)).is_empty());
        }
        assert_eq!(names(&cache.put(file(FILES_MAX, Duration::ZERO))), ["0"]);
        assert!(cache.take(Path::new("0")).is_none());
        let taken = cache.take(Path::new("1")).unwrap();
        assert!(
            !cache.has(Path::new("1")) && cache.take(Path::new("1")).is_none(),
            "somebody has it"
        );
        assert!(cache.put(taken).is_empty() && cache.has(Path::new("1")));
        assert_eq!(names(&cache.put(file(99, TIME_MAX))), ["2", "99"]);
        assert!(cache.take(Path::new("99")).is_none());
    }
}
