//! Local copies of immutable objects, and small notes. All of it is a hint: deleting it at any time only costs time.
//!
//! Copies are the stored objects themselves, still sealed; they are checked like the originals.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::{Error, Result};
use crate::id::{ObjectId, RepositoryId};

/// The local folder of one repository.
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Opens (and makes, readable for the owner only) the folder of a repository below `cache_dir`.
    pub fn open(cache_dir: &Path, repository: RepositoryId) -> Result<Self> {
        let folder = cache_dir.join(repository.to_hex());
        make_private_dir(&folder).map_err(|source| Error::Cache { path: folder.clone(), source })?;
        Ok(Self { folder })
    }

    /// Returns the path of a copy or note: `group` is a folder, `name` a file in it.
    pub fn path(&self, group: &str, name: &str) -> PathBuf {
        self.folder.join(group).join(name)
    }

    /// Opens a file, or `None` if it is not there.
    pub fn open_file(&self, group: &str, name: &str) -> Option<File> {
        File::open(self.path(group, name)).ok()
    }

    /// Reads a whole file, or `None` if it is not there.
    pub fn read(&self, group: &str, name: &str) -> Option<Vec<u8>> {
        fs::read(self.path(group, name)).ok()
    }

    /// Returns the BLAKE3 hash of a file, or `None` if it cannot be read.
    pub fn hash_file(&self, group: &str, name: &str) -> Option<ObjectId> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(self.open_file(group, name)?).ok()?;
        Some(ObjectId(*hasher.finalize().as_bytes()))
    }

    /// Writes a file under a temporary name and renames it, so that readers see all of it or nothing.
    ///
    /// Not synced: after a crash of the machine its content is checked like any copy, and thrown away if wrong.
    pub fn write(&self, group: &str, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(group, name);
        write_atomically(&path, bytes).map_err(|source| Error::Cache { path, source })
    }

    /// Removes a file; one that is not there is fine.
    pub fn remove(&self, group: &str, name: &str) {
        let _ = fs::remove_file(self.path(group, name));
    }

    /// Lists the names in a group.
    pub fn names(&self, group: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.join(group)) else {
            return Vec::new();
        };
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).filter(|name| !name.starts_with('.')).collect()
    }
}

/// Remembers which repository was seen at a location, so that an unchanged backup need not ask the store.
pub fn remember_location(cache_dir: &Path, location: &str, repository: RepositoryId) -> Result<()> {
    let path = location_path(cache_dir, location);
    let write = || {
        make_private_dir(path.parent().expect("the path has a folder"))?;
        write_atomically(&path, repository.to_hex().as_bytes())
    };
    write().map_err(|source| Error::Cache { path: path.clone(), source })
}

/// Returns the repository that was last seen at a location.
pub fn known_at(cache_dir: &Path, location: &str) -> Option<RepositoryId> {
    RepositoryId::from_hex(fs::read_to_string(location_path(cache_dir, location)).ok()?.trim())
}

fn location_path(cache_dir: &Path, location: &str) -> PathBuf {
    cache_dir.join("locations").join(ObjectId(*blake3::hash(location.as_bytes()).as_bytes()).to_hex())
}

fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().expect("cache files have a folder");
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

fn make_private_dir(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
