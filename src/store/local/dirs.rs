//! StoreDirs of a local store, and the durability of their names.
//!
//! Every path is taken from the open folder of the store, so an unmounted disk is an error and not
//! an empty store. A name is durable once the folder that it is in was synced, and each of that
//! folder's parents.
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

/// The folder of a store, and those below it.
pub struct StoreDirs {
    /// The store's own.
    pub root: File,
    /// Those whose own names this process has made durable.
    durable: Mutex<HashSet<String>>,
}

impl StoreDirs {
    /// Takes the open folder of a store.
    pub fn below(root: File) -> Self {
        Self { root, durable: Mutex::default() }
    }

    /// Opens a folder, which is made with its parents if it is missing. StoreDirs below those of the
    /// classes are made on demand: making all 512 at `init` saves nothing that a measurement shows,
    /// and makes every listing read 512 folders.
    pub fn open_or_make(&self, path: &str) -> io::Result<File> {
        match self.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            self.make(&path[..end])?;
        }
        self.open(path)
    }

    /// Makes one folder unless it is there; its name is not durable yet.
    pub fn make(&self, path: &str) -> io::Result<()> {
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

    /// Opens a folder that is there.
    pub fn open(&self, path: &str) -> io::Result<File> {
        beneath::open(&self.root, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
    }

    /// Makes the names of a folder and its parents durable, once per process: another process may
    /// just have made them.
    pub fn sync_parents(&self, dir_path: &str) -> io::Result<()> {
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

/// Makes the names in a folder durable. Must not be repeated after a failure.
pub fn sync_names(folder: &File) -> io::Result<()> {
    match rustix::fs::fsync(folder) {
        // Some network file systems cannot: there the server answers for its names.
        Ok(())
        | Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::BADF | Errno::ISDIR) => {
            Ok(())
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Makes a folder (for its owner only) with its parents, durably.
pub fn make_dirs(path: &Path) -> io::Result<()> {
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
