//! Local cache of immutable objects, and small notes. All of it are hints: deleting them costs time
//! only.
//!
//! A copy is the stored object itself, still sealed, and is verified like the original.

mod directory;
pub(in crate::repo) mod locations;
pub mod lru;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use self::directory::CacheDirectory;
use self::locations::hash_of_location;
use super::error::{Error, Result};
use crate::id::{ObjectId, RepositoryId};
use crate::sync::lock;

/// Group of copies of packs with trees.
pub(super) const TREES: &str = "meta";
/// Default limit for these copies in bytes: enough for the trees of about ten million files.
const LIMIT_BYTES: u64 = 2 << 30;
/// Bytes that are written between two checks of the limit.
const UNWATCHED_BYTES: u64 = 64 << 20;
/// Age of a copy's time stamp after which the next use renews it.
const USED_AGAIN: Duration = Duration::from_secs(3600);

/// Limit for packs with trees in memory if they cannot be written to a directory, in bytes.
const TREES_IN_MEMORY_BYTES: usize = 64 << 20;

/// The local copies and notes of one repository.
pub struct Cache {
    backing: Backing,
    /// Copies that could not be written to the directory, kept in memory.
    spilt: Mutex<Groups>,
    trouble: Mutex<Option<String>>,
    limit_bytes: AtomicU64,
    unwatched_bytes: AtomicU64,
}

enum Backing {
    /// In a directory.
    Directory(CacheDirectory),
    /// In memory, until the process ends.
    Memory(Mutex<Groups>),
}

/// Copies by group and name.
type Groups = BTreeMap<String, BTreeMap<String, Arc<[u8]>>>;

/// A copy that is open for reading, even after it was removed.
pub enum LocalCopy {
    /// An open file.
    File(File),
    /// The bytes in memory.
    Bytes(Arc<[u8]>),
}

impl LocalCopy {
    /// Returns its length in bytes.
    pub fn len_bytes(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => file.metadata().map(|metadata| metadata.len()),
            Self::Bytes(bytes) => Ok(bytes.len() as u64),
        }
    }

    /// Fills `out` with the bytes from `offset` on; fails if there are fewer.
    pub fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = match self {
            Self::File(file) => return file.read_exact_at(out, offset),
            Self::Bytes(bytes) => bytes,
        };
        let from = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
        from.ok_or(io::ErrorKind::UnexpectedEof)?.read_exact(out)
    }
}

impl Cache {
    /// Opens the cache of a repository at a location, in a directory below `cache_dir`; creates it,
    /// for its owner only, if it is missing.
    ///
    /// A copy of a repository at another location develops separately, so it has another cache.
    /// Fails with [`Error::ForeignCache`] if other users could have written to the directory.
    ///
    /// If there can be no directory (`cache_dir` is empty because none is known, or the disk is
    /// full or read-only), the cache is in memory, and [`Cache::trouble`] returns why.
    pub fn open(cache_dir: &Path, repository: RepositoryId, location: &str) -> Result<Self> {
        let name = format!("{}-{}", repository.to_hex(), &hash_of_location(location)[..16]);
        if cache_dir.as_os_str().is_empty() {
            let cache = Self::in_memory();
            cache.note_trouble("no folder for them is known: HOME is not set".to_owned());
            return Ok(cache);
        }
        match CacheDirectory::open(cache_dir, &name) {
            Err(Error::Cache { path, source }) => {
                let cache = Self::in_memory();
                cache.note_trouble(format!("{}: {source}", path.display()));
                Ok(cache)
            }
            opened => Ok(Self::at(Backing::Directory(opened?))),
        }
    }

    /// Returns why copies are kept in memory instead of a directory, if they are.
    pub fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    fn note_trouble(&self, why: String) {
        lock(&self.trouble).get_or_insert(why);
    }

    fn spilt(&self, group: &str, name: &str) -> Option<Arc<[u8]>> {
        lock(&self.spilt).get(group)?.get(name).cloned()
    }

    /// Keeps in memory what could not be written; packs with trees only up to a limit, because they
    /// can be fetched again.
    fn spill(&self, group: &str, name: &str, bytes: &[u8]) {
        let mut spilt = lock(&self.spilt);
        let group_of = spilt.entry(group.to_owned()).or_default();
        let len: usize = group_of.values().map(|copy| copy.len()).sum();
        if group == TREES && len + bytes.len() > TREES_IN_MEMORY_BYTES {
            group_of.clear();
        }
        group_of.insert(name.to_owned(), bytes.into());
    }

    /// Makes an empty cache in memory.
    pub fn in_memory() -> Self {
        Self::at(Backing::Memory(Mutex::default()))
    }

    fn at(backing: Backing) -> Self {
        let (spilt, trouble) = Default::default();
        Self {
            backing,
            spilt,
            trouble,
            limit_bytes: AtomicU64::new(LIMIT_BYTES),
            unwatched_bytes: AtomicU64::new(UNWATCHED_BYTES),
        }
    }

    /// Sets the limit for copies of packs with trees in bytes; the least recently used ones are
    /// removed first.
    pub fn limit(&self, bytes: u64) {
        self.limit_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Opens a copy or note: `group` is a subdirectory, `name` a file in it.
    pub fn open_copy(&self, group: &str, name: &str) -> Result<LocalCopy> {
        let (path, opened) = match &self.backing {
            Backing::Directory(folder) => {
                if let Some(bytes) = self.spilt(group, name) {
                    return Ok(LocalCopy::Bytes(bytes));
                }
                let opened = folder.open_file(group, name).map(LocalCopy::File);
                (folder.path().join(group).join(name), opened)
            }
            Backing::Memory(copies) => {
                let found = lock(copies).get(group).and_then(|group| group.get(name)).cloned();
                let found = found.or_else(|| self.spilt(group, name));
                let opened =
                    found.map(LocalCopy::Bytes).ok_or_else(|| io::ErrorKind::NotFound.into());
                (Path::new(group).join(name), opened)
            }
        };
        opened.map_err(|source| Error::Cache { path, source })
    }

    /// Reads a whole copy or note; `None` if there is none.
    pub fn read(&self, group: &str, name: &str) -> Option<Vec<u8>> {
        match &self.backing {
            Backing::Directory(folder) => {
                if let Some(bytes) = self.spilt(group, name) {
                    return Some(bytes.to_vec());
                }
                let mut bytes = Vec::new();
                folder.open_file(group, name).ok()?.read_to_end(&mut bytes).ok()?;
                Some(bytes)
            }
            Backing::Memory(copies) => Some(lock(copies).get(group)?.get(name)?.to_vec()),
        }
    }

    /// Reads a whole copy or note; fails if it cannot be read.
    pub fn read_or_fail(&self, group: &str, name: &str) -> Result<Vec<u8>> {
        self.open_copy(group, name)?;
        self.read(group, name).ok_or_else(|| {
            let path = Path::new(group).join(name);
            Error::Cache { path, source: io::ErrorKind::Other.into() }
        })
    }

    /// Returns the BLAKE3 hash of a copy, or `None` if it cannot be read.
    pub fn hash_of(&self, group: &str, name: &str) -> Option<ObjectId> {
        let mut hasher = blake3::Hasher::new();
        match self.open_copy(group, name).ok()? {
            LocalCopy::File(file) => hasher.update_reader(file).ok()?,
            LocalCopy::Bytes(bytes) => hasher.update(&bytes),
        };
        Some(ObjectId(*hasher.finalize().as_bytes()))
    }

    /// Writes a copy or note. A file gets a temporary name first and is renamed, so that readers
    /// never see a part of it.
    ///
    /// It is not synced: after a crash of the machine, it is verified like any copy, and dropped if
    /// it is wrong. If the disk is full or read-only, it is kept in memory.
    pub fn write(&self, group: &str, name: &str, bytes: &[u8]) -> Result<()> {
        match &self.backing {
            Backing::Directory(folder) => {
                match folder.write(group, name, bytes) {
                    Ok(()) => {
                        drop(lock(&self.spilt).get_mut(group).and_then(|group| group.remove(name)))
                    }
                    Err(error) => {
                        // An older note must not be taken for this one.
                        let _ = folder.remove(group, name);
                        self.note_trouble(format!("{}: {error}", folder.path().display()));
                        self.spill(group, name, bytes);
                    }
                }
                Ok(())
            }
            Backing::Memory(_) if group == TREES && self.trouble().is_some() => {
                // Memory must not grow without limit, and fetching again costs time only.
                self.spill(group, name, bytes);
                Ok(())
            }
            Backing::Memory(copies) => {
                lock(copies)
                    .entry(group.to_owned())
                    .or_default()
                    .insert(name.to_owned(), bytes.into());
                Ok(())
            }
        }
    }

    /// Opens the copy of a pack with trees, if it has this length, and renews its time of use.
    pub fn open_trees(&self, name: &str, len_bytes: u64) -> Option<LocalCopy> {
        let copy = self.open_copy(TREES, name).ok()?;
        if copy.len_bytes().ok()? != len_bytes {
            return None;
        }
        if let LocalCopy::File(file) = &copy {
            note_use(file);
        }
        Some(copy)
    }

    /// Writes and opens a copy of a pack with trees; removes others if all together exceed the
    /// limit.
    ///
    /// The returned copy can be read even if it exceeds the limit and was removed at once, so that
    /// the pack need not stay in memory.
    pub fn write_trees(&self, name: &str, bytes: &[u8]) -> Result<LocalCopy> {
        self.write(TREES, name, bytes)?;
        // Another process that trims the cache, or a user, may have removed it already.
        let copy = self.open_copy(TREES, name).unwrap_or_else(|_| LocalCopy::Bytes(bytes.into()));
        let unwatched = self.unwatched_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed)
            + bytes.len() as u64;
        let limit = self.limit_bytes.load(Ordering::Relaxed);
        if unwatched >= UNWATCHED_BYTES.min(limit / 8) {
            self.unwatched_bytes.store(0, Ordering::Relaxed);
            self.trim_trees(limit);
        }
        Ok(copy)
    }

    /// Removes the least recently used copies until at most `limit` bytes are left. Open copies
    /// stay readable.
    fn trim_trees(&self, limit: u64) {
        let Backing::Directory(folder) = &self.backing else {
            return;
        };
        let Ok(mut copies) = folder.files(TREES) else {
            return;
        };
        copies.sort_unstable_by_key(|(_, stat)| {
            std::cmp::Reverse((stat.st_mtime, stat.st_mtime_nsec))
        });
        let mut kept = 0;
        for (name, stat) in copies {
            kept += stat.st_size.cast_unsigned();
            if kept > limit {
                let _ = folder.remove(TREES, &name);
            }
        }
    }

    /// Removes a copy or note, if it exists.
    pub fn remove(&self, group: &str, name: &str) {
        drop(lock(&self.spilt).get_mut(group).and_then(|group| group.remove(name)));
        match &self.backing {
            Backing::Directory(folder) => drop(folder.remove(group, name)),
            Backing::Memory(copies) => {
                drop(lock(copies).get_mut(group).and_then(|group| group.remove(name)))
            }
        }
    }

    /// Opens the directory itself once more, so that it can be locked; `None` for a cache in
    /// memory.
    pub fn directory_file(&self) -> Option<File> {
        match &self.backing {
            Backing::Directory(folder) => folder.open_again().ok(),
            Backing::Memory(_) => None,
        }
    }

    /// Creates an unnamed file, which is gone when it is closed.
    pub fn scratch_file(&self) -> Result<File> {
        match &self.backing {
            Backing::Directory(folder) => {
                tempfile::tempfile_in(folder.path()).or_else(|_| scratch_elsewhere())
            }
            Backing::Memory(_) => scratch_elsewhere(),
        }
    }

    /// Lists the names in a group.
    pub fn names(&self, group: &str) -> Vec<String> {
        let folder = match &self.backing {
            Backing::Directory(folder) => folder,
            Backing::Memory(copies) => {
                return lock(copies)
                    .get(group)
                    .into_iter()
                    .flat_map(|group| group.keys().cloned())
                    .collect();
            }
        };
        let files = folder.files(group).unwrap_or_default();
        let mut names: Vec<String> = files.into_iter().map(|(name, _)| name).collect();
        let spilt = lock(&self.spilt);
        let spilt = spilt.get(group).into_iter().flat_map(|group| group.keys());
        let more: Vec<String> = spilt.filter(|name| !names.contains(name)).cloned().collect();
        names.extend(more);
        names
    }
}

/// Creates an unnamed file in the system's directory for temporary files, or else in memory.
fn scratch_elsewhere() -> Result<File> {
    let in_memory =
        |_| Ok(File::from(rustix::fs::memfd_create("drumlin", rustix::fs::MemfdFlags::CLOEXEC)?));
    let made: io::Result<File> = tempfile::tempfile().or_else(in_memory);
    made.map_err(|source| Error::Cache { path: "a temporary file".into(), source })
}

/// Renews the time of a copy's last use. If that fails, the copy is only removed sooner.
fn note_use(file: &File) {
    let is_old =
        |time: SystemTime| SystemTime::now().duration_since(time).is_ok_and(|age| age > USED_AGAIN);
    if file.metadata().and_then(|metadata| metadata.modified()).is_ok_and(is_old) {
        let _ = file.set_modified(SystemTime::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a name as copies have.
    fn name(word: &str) -> String {
        blake3::hash(word.as_bytes()).to_hex().to_string()
    }

    #[test]
    fn what_no_folder_takes_lives_as_long_as_the_process() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("file"), b"").unwrap();
        for (dir, has_trouble) in
            [(scratch.path().join("file/below"), true), (std::path::PathBuf::new(), true)]
        {
            let cache = Cache::open(&dir, RepositoryId([1; 16]), "here").unwrap();
            assert_eq!(cache.trouble().is_some(), has_trouble);
            cache.write("index", "a", b"1").unwrap();
            cache.write_trees("t", &[7; 100]).unwrap();
            cache.scratch_file().unwrap();
            assert_eq!(
                (cache.read("index", "a").unwrap(), cache.names("index")),
                (b"1".to_vec(), vec!["a".to_owned()])
            );
            assert!(cache.open_trees("t", 100).is_some());
            super::locations::remember_location(&dir, "here", RepositoryId([1; 16])).unwrap();
        }
    }

    #[test]
    fn copies_that_were_used_longest_ago_make_room() {
        let scratch = tempfile::tempdir().unwrap();
        let cache = Cache::open(scratch.path(), RepositoryId([1; 16]), "here").unwrap();
        cache.limit(1000);
        let days_ago = |word: &str, days: u64| {
            let LocalCopy::File(file) = cache.open_copy(TREES, &name(word)).unwrap() else {
                panic!("it is a file")
            };
            file.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400)).unwrap();
        };
        cache.write(TREES, &name("old"), &[0; 400]).unwrap();
        days_ago("old", 3);
        cache.write(TREES, &name("older, but used"), &[0; 400]).unwrap();
        days_ago("older, but used", 4);
        assert!(cache.open_trees(&name("older, but used"), 399).is_none());
        let in_use = cache.open_trees(&name("older, but used"), 400).unwrap();
        cache.write_trees(&name("new"), &[0; 400]).unwrap();
        let mut names = cache.names(TREES);
        names.sort();
        let mut kept = [name("new"), name("older, but used")];
        kept.sort();
        assert_eq!(names, kept);
        cache.write_trees(&name("newer"), &[0; 400]).unwrap();
        let huge = cache.write_trees(&name("huge"), &[7; 2000]).unwrap();
        assert!(cache.names(TREES).iter().all(|found| *found != name("huge")));
        let mut last = [0; 10];
        huge.read_exact_at(&mut last, 1990).unwrap();
        assert_eq!(last, [7; 10], "what is over the limit is read from the disk all the same");
        assert!(cache.names(TREES).iter().all(|found| *found != name("older, but used")));
        in_use.read_exact_at(&mut [0; 400], 0).unwrap();
    }
}
