//! Snapshots, and the way into them.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::error::{Error, ErrorKind, Result};
use super::file::{File, Walk};
use super::values::{path_of, time_of};
use crate::browse;
use crate::format::entry::{Content, EntryKind};
use crate::format::snapshot;
use crate::repo::read::file_content::FileContents;
use crate::repo::{Reader, Repository};
use crate::sync::lock;

/// Memory for what is kept of files that are read, in bytes.
const CACHE_LEN_BYTES: usize = 64 << 20;

/// A snapshot.
///
/// All walks and files of it, and of its clones, share one reader: the index is fetched with the
/// first.
#[derive(Clone)]
pub struct Snapshot {
    repository: Arc<Repository>,
    contents: Arc<Mutex<Option<Arc<FileContents>>>>,
    pub(super) data: snapshot::Snapshot,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Snapshot").field(&self.id()).finish()
    }
}

impl Snapshot {
    pub(super) fn new(repository: Arc<Repository>, data: snapshot::Snapshot) -> Self {
        Self { repository, contents: Arc::default(), data }
    }

    /// Returns its id in hex.
    pub fn id(&self) -> String {
        self.data.id.to_hex()
    }

    /// Returns the start of its id, for people.
    pub fn short_id(&self) -> String {
        self.data.id.short()
    }

    /// Returns when the backup began, by the clock of its host.
    pub fn time(&self) -> SystemTime {
        time_of(self.data.started)
    }

    /// Returns the name of the host.
    pub fn host(&self) -> &str {
        &self.data.host
    }

    /// Returns the app that it belongs to; empty for none.
    pub fn app(&self) -> &str {
        &self.data.app
    }

    /// Returns its tags, sorted.
    pub fn tags(&self) -> &[String] {
        &self.data.tags
    }

    /// Returns the paths that were backed up.
    pub fn sources(&self) -> Vec<PathBuf> {
        self.data.sources.iter().cloned().map(path_of).collect()
    }

    /// Returns how many files of any kind but directories it has.
    pub fn files(&self) -> u64 {
        self.data.stats.totals.files
    }

    /// Returns how many bytes of content they have.
    pub fn bytes(&self) -> u64 {
        self.data.stats.totals.bytes
    }

    /// Walks through everything below a directory, in the order of names; `/` is everything.
    ///
    /// Fails with [`ErrorKind::NotFound`] if the snapshot has no such path.
    pub fn walk(&self, path: impl AsRef<Path>) -> Result<Walk> {
        let contents = self.contents()?;
        let trees = contents.nodes().trees();
        let place = browse::find(trees, &self.data, path.as_ref().as_os_str().as_bytes())?;
        let Some(tree) = place.tree else {
            let why = format!("{} is no directory", path.as_ref().display());
            return Err(Error::new(ErrorKind::InvalidInput, why));
        };
        Ok(Walk::new(browse::TreeWalk::new(trees, &tree, &place.path, true)))
    }

    /// Opens a file, for reading at any offset.
    ///
    /// Fails with [`ErrorKind::NotFound`] if the snapshot has no such path, and with
    /// [`ErrorKind::InvalidInput`] if it is no regular file.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<File> {
        let path = path.as_ref();
        let contents = self.contents()?;
        let missing = || {
            let path = path.display();
            Error::not_found(format!("there is no {path} in snapshot {}", self.short_id()))
        };
        let mut parts = path.as_os_str().as_bytes().split(|byte| *byte == b'/');
        let mut found = None;
        let mut directory = Some(self.data.root);
        for part in parts.by_ref().filter(|part| !part.is_empty()) {
            let tree = directory.ok_or_else(missing)?;
            let entry = contents.nodes().find(&tree, part)?.ok_or_else(missing)?;
            directory = match entry.content {
                Content::Tree(tree) => Some(tree),
                _ => None,
            };
            found = Some(entry);
        }
        match found {
            Some(entry) if entry.kind == EntryKind::File => Ok(File::new(contents, entry)),
            _ => {
                let why = format!("{} is no regular file", path.display());
                Err(Error::new(ErrorKind::InvalidInput, why))
            }
        }
    }

    fn contents(&self) -> Result<Arc<FileContents>> {
        let mut contents = lock(&self.contents);
        if let Some(contents) = &*contents {
            return Ok(contents.clone());
        }
        let reader = Reader::tolerant(&self.repository)?;
        Ok(contents.insert(Arc::new(FileContents::new(&reader, CACHE_LEN_BYTES, 1)?)).clone())
    }
}
