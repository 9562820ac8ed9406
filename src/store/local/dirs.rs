//! Directories of a local store, and the durability of their names.
//!
//! Every path is relative to the store's open directory, so an unmounted disk is an error and not
//! an empty store. A name is durable after its directory and all parents of that directory were
//! synced.
//!
//! Spec: `format-spec/12-store.md`, section 3.

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Mutex;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::store::beneath;
use crate::sync::lock;

/// The store's directory, and those below it.
pub(super) struct StoreDirs {
    /// The store's directory.
    pub root: File,
    /// Directories whose names this process has made durable.
    durable: Mutex<HashSet<String>>,
}

impl StoreDirs {
    /// Takes the store's open directory.
    pub(super) fn below(root: File) -> Self {
        Self { root, durable: Mutex::default() }
    }

    /// Opens a directory; makes it and its parents if missing. Directories below those of the
    /// classes are made on demand: making all 512 at `init` saves no measurable time, and every
    /// listing would have to read them.
    pub(super) fn open_or_make(&self, path: &str) -> io::Result<File> {
        match self.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            self.make(&path[..end])?;
        }
        self.open(path)
    }

    /// Makes one directory unless it exists; its name is not durable yet.
    pub(super) fn make(&self, path: &str) -> io::Result<()> {
        let made = match path.rsplit_once('/') {
            Some((above, name)) => {
                rustix::fs::mkdirat(self.open(above)?, name, Mode::from_raw_mode(0o777))
            }
            None => rustix::fs::mkdirat(&self.root, path, Mode::from_raw_mode(0o777)),
        };
        match made {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Opens an existing directory.
    pub(super) fn open(&self, path: &str) -> io::Result<File> {
        beneath::open(&self.root, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
    }

    /// Makes the names of a directory and its parents durable, once per process: another process
    /// may have made them without syncing yet.
    pub(super) fn sync_parents(&self, dir_path: &str) -> io::Result<()> {
        if lock(&self.durable).contains(dir_path) {
            return Ok(());
        }
        for (end, _) in dir_path.match_indices('/') {
            sync_names(&self.open(&dir_path[..end])?)?;
        }
        sync_names(&self.root)?;
        lock(&self.durable).insert(dir_path.to_owned());
        Ok(())
    }
}

/// Makes the names in a directory durable. Must not be repeated after a failure.
pub(super) fn sync_names(folder: &File) -> io::Result<()> {
    match rustix::fs::fsync(folder) {
        // Some network file systems cannot sync directories: there the server is responsible.
        Ok(())
        | Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::BADF | Errno::ISDIR) => {
            Ok(())
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Makes a directory (for its owner only) with its parents, durably.
pub(super) fn make_dirs(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().ok_or(io::ErrorKind::NotFound)?;
    make_dirs(parent)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_names(&File::open(parent)?),
    }
}
