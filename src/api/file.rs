//! Entries and files of a snapshot.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::error::{Error, Result};
use super::values::{path_of, time_of};
use crate::browse;
use crate::format::entry::{Entry, EntryKind};
use crate::repo::read::file_content::FileContents;
use crate::repo::read::file_map::FileMap;
use crate::repo::read::node_cache::CachedEntry;
use crate::repo::read::readahead::Reading;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe, a socket or a device.
    Special,
}

/// An entry of a snapshot.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WalkEntry {
    /// Its absolute path.
    pub path: PathBuf,
    /// What it is.
    pub kind: FileKind,
    /// Its length in bytes; 0 unless it is a regular file.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Number of its owner.
    pub uid: u32,
    /// Number of its group.
    pub gid: u32,
    /// When its content was modified.
    pub modified: SystemTime,
}

impl WalkEntry {
    fn new(path: Vec<u8>, entry: &Entry) -> Self {
        let kind = match entry.kind {
            EntryKind::File => FileKind::File,
            EntryKind::Dir => FileKind::Directory,
            EntryKind::Symlink => FileKind::Symlink,
            _ => FileKind::Special,
        };
        Self {
            path: path_of(path),
            kind,
            size: if kind == FileKind::File { entry.size } else { 0 },
            mode: entry.mode.into(),
            uid: entry.uid,
            gid: entry.gid,
            modified: time_of(entry.mtime),
        }
    }
}

/// Yields the entries of a snapshot below a directory: each directory before what is in it.
///
/// A directory that cannot be read is an error, and the walk goes on after it.
pub struct Walk {
    inner: browse::TreeWalk,
}

impl Walk {
    pub(super) fn new(inner: browse::TreeWalk) -> Self {
        Self { inner }
    }
}

impl Iterator for Walk {
    type Item = Result<WalkEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        let (path, found) = self.inner.next()?;
        Some(found.map(|found| WalkEntry::new(path, &found.entry)).map_err(Error::from))
    }
}

/// A file of a snapshot, open for reading.
pub struct File {
    contents: Arc<FileContents>,
    map: FileMap,
    reading: Reading,
}

impl File {
    pub(super) fn new(contents: Arc<FileContents>, entry: CachedEntry) -> Self {
        Self { contents, map: FileMap::new(entry), reading: Reading::default() }
    }

    /// Returns its length in bytes.
    pub fn size(&self) -> u64 {
        self.map.size()
    }

    /// Reads up to `len` bytes at an offset, verified; fewer only at the end of the file.
    ///
    /// What is read in order is read ahead.
    pub fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let end = offset.saturating_add(len as u64);
        Ok(self.contents.read_at(&self.map, &self.reading, offset..end)?)
    }
}
