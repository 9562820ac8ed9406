//! Store in a directory of a local (or mounted) file system.
//!
//! An object is a file below the directory of its class. Names that start with a dot are never
//! objects: they are leftovers of processes that died while writing (see `publish`). A file is
//! never opened for writing once it has its name.
//!
//! Other users may have write access to the directory, so no symbolic link below it is followed.

mod dirs;
mod failure;
mod publish;

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use self::dirs::{StoreDirs, make_dirs, sync_names};
use self::failure::failure;
use self::publish::LocalPublisher;
use super::beneath;
use super::{
    Action, Class, Key, Listed, OBJECT_LEN_MAX_BYTES, Store, StoreError, StoreProperties,
    is_valid_name,
};

/// Directory levels below a class that are searched for objects: `data/<2 hex>/<64 hex>` needs one.
const DIR_LEVELS_MAX: usize = 2;
/// Longest name of a directory between a class's directory and an object.
const DIR_NAME_LEN_MAX: usize = 2;

/// A store in a directory. Every path is relative to the open directory, so an unmounted disk is an
/// error and not an empty store.
pub struct LocalStore {
    dirs: StoreDirs,
    location: String,
    /// The path without links and `..`.
    place: String,
    publisher: LocalPublisher,
}

impl LocalStore {
    /// Opens the store in an existing directory; fails with
    /// [`ErrorKind::NotFound`](super::ErrorKind::NotFound) if there is none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let (place, location) = names_of(path);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(root) => {
                let dirs = StoreDirs::below(root.into());
                Ok(Self { dirs, location, place, publisher: LocalPublisher::default() })
            }
            Err(errno) => Err(failure(Action::List, &location, "its folder", errno.into())),
        }
    }

    /// Opens the store in a directory, which is made (for its owner only) if it is missing, with a
    /// directory for each class.
    ///
    /// If these were made on demand, the first backups would change the time of the store's
    /// directory: a backup that includes this directory would see a change where there is none.
    ///
    /// Dying before the return leaves empty directories at worst. The directories are durable when
    /// this returns.
    pub fn open_or_make(path: &Path) -> Result<Self, StoreError> {
        let path = absolute(path);
        make_dirs(&path).map_err(|error| {
            failure(Action::Create, &path.display().to_string(), "its folder", error)
        })?;
        let store = Self::open(&path)?;
        let made = Class::ALL.iter().try_for_each(|class| store.dirs.make(class.dir_name()));
        made.and_then(|()| sync_names(&store.dirs.root))
            .map_err(|error| store.fail(Action::Create, "its folders", error))?;
        Ok(store)
    }

    fn fail(&self, action: Action, object: impl ToString, error: io::Error) -> StoreError {
        failure(action, &self.location, &object.to_string(), error)
    }

    fn open_object(&self, key: &Key) -> io::Result<(File, u64)> {
        let file = beneath::open(
            &self.dirs.root,
            &checked_path(key)?,
            OFlags::RDONLY | OFlags::NONBLOCK,
            Mode::empty(),
        )?;
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "not a regular file"));
        }
        Ok((file, stat.st_size.cast_unsigned()))
    }

    fn try_read(&self, key: &Key, range: Option<Range<u64>>, out: &mut Vec<u8>) -> io::Result<()> {
        let (file, len) = self.open_object(key)?;
        let range = range.unwrap_or(0..len);
        if range.end > len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if range.end.saturating_sub(range.start) > OBJECT_LEN_MAX_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "longer than any object may be",
            ));
        }
        read_range(&file, range, out)
    }

    /// Stores an object.
    ///
    /// Dying before the object has its name leaves nothing (or, on file systems without unnamed
    /// files, a file that no listing shows); dying after it leaves the whole object: its bytes are
    /// on the medium before it has its name, and only power loss before the last step can take the
    /// name away again. `Ok` is returned after that last step.
    fn try_create(&self, key: &Key, bytes: &[u8]) -> io::Result<()> {
        let path = checked_path(key)?;
        if bytes.len() as u64 > OBJECT_LEN_MAX_BYTES {
            return Err(io::Error::other("longer than any object may be"));
        }
        let (dir_path, name) = path.rsplit_once('/').expect("a class's folder precedes the name");
        let folder = self.dirs.open_or_make(dir_path)?;
        match self.publisher.publish(&folder, name, bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // The process that made it may not have synced it yet, and the caller will depend
                // on it.
                sync_names(&folder)?;
                self.dirs.sync_parents(dir_path)?;
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        sync_names(&folder).and_then(|()| self.dirs.sync_parents(dir_path)).inspect_err(|_| {
            // The kernel reports a failed write-back once and may have dropped the page: a second
            // sync would wrongly succeed.
            let _ = rustix::fs::unlinkat(&folder, name, AtFlags::empty());
        })
    }

    fn try_remove(&self, key: &Key) -> io::Result<()> {
        let path = checked_path(key)?;
        let (dir_path, name) = path.rsplit_once('/').expect("a class's folder precedes the name");
        let folder = match self.dirs.open(dir_path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
            // Durable removal keeps the caller's order: an index run is removed before the packs
            // that it names.
            Ok(()) | Err(Errno::NOENT) => sync_names(&folder),
            Err(errno) => Err(errno.into()),
        }
    }

    fn list_dir(&self, path: &str, listing: &mut ClassListing<'_>) -> io::Result<()> {
        let folder = match self.dirs.open(path) {
            // A class without objects may have no directory; but the store itself must exist.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return rustix::fs::fstat(&self.dirs.root).map(drop).map_err(Into::into);
            }
            other => other?,
        };
        let class_len = listing.class_len;
        for found in rustix::fs::Dir::read_from(&folder)? {
            let found = found?;
            let Some(part) = found.file_name().to_str().ok().filter(|part| is_valid_name(part))
            else {
                continue;
            };
            let full = format!("{path}/{part}");
            let name = &full[class_len..];
            if !name.starts_with(listing.prefix) && !listing.prefix.starts_with(name) {
                continue;
            }
            let stat =
                match rustix::fs::statat(&folder, found.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => continue,
                    other => other?,
                };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory if listing.level < DIR_LEVELS_MAX => {
                    listing.level += 1;
                    self.list_dir(&full, listing)?;
                    listing.level -= 1;
                }
                FileType::RegularFile if name.starts_with(listing.prefix) => {
                    let len_bytes = stat.st_size.cast_unsigned();
                    listing.found.push(Listed::new(
                        name.to_owned(),
                        len_bytes,
                        Some(stat.st_mtime),
                    ));
                }
                // Its target would be missing from the listing without notice.
                FileType::Symlink if listing.has_dirs && part.len() <= DIR_NAME_LEN_MAX => {
                    return Err(Errno::LOOP.into());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The listing of one class while it is collected.
struct ClassListing<'a> {
    prefix: &'a str,
    /// Bytes of `<class>/` before each name.
    class_len: usize,
    /// Whether the class has directories.
    has_dirs: bool,
    level: usize,
    found: Vec<Listed>,
}

impl Store for LocalStore {
    fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let folder = class.dir_name();
        let has_dirs = matches!(class, Class::Data | Class::Meta | Class::Index);
        let mut listing = ClassListing {
            prefix,
            class_len: folder.len() + 1,
            has_dirs,
            level: 0,
            found: Vec::new(),
        };
        self.list_dir(folder, &mut listing)
            .map_err(|error| self.fail(Action::List, folder, error))?;
        Ok(listing.found)
    }

    fn stat(&self, key: &Key) -> Result<u64, StoreError> {
        self.open_object(key)
            .map(|(_, len)| len)
            .map_err(|error| self.fail(Action::Stat, key, error))
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        self.try_read(key, Some(range), out).map_err(|error| self.fail(Action::Read, key, error))
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        let mut out = Vec::new();
        self.try_read(key, None, &mut out).map_err(|error| self.fail(Action::Read, key, error))?;
        Ok(out)
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.try_create(key, bytes).map_err(|error| self.fail(Action::Create, key, error))
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.try_remove(key).map_err(|error| self.fail(Action::Remove, key, error))
    }

    fn properties(&self) -> StoreProperties {
        StoreProperties { parallelism: 1, is_local: true, can_run_full: true }
    }

    fn location(&self) -> &str {
        &self.location
    }

    fn place(&self) -> &str {
        &self.place
    }

    fn has_create_race(&self) -> bool {
        self.publisher.replaces()
    }
}

/// Returns the place and the location of a store in this directory. The place is the path without
/// links and `..`, if the directory exists.
pub fn names_of(path: &Path) -> (String, String) {
    let location = absolute(path).display().to_string();
    (
        fs::canonicalize(path).map_or_else(|_| location.clone(), |path| path.display().to_string()),
        location,
    )
}

/// Appends a range of a file to `out`, without zeroing the memory first.
fn read_range(file: &File, range: Range<u64>, out: &mut Vec<u8>) -> io::Result<()> {
    let mut missing =
        usize::try_from(range.end.saturating_sub(range.start)).expect("objects fit in memory");
    out.reserve(missing);
    let mut at = range.start;
    while missing > 0 {
        let read = match rustix::io::pread(file, &mut out.spare_capacity_mut()[..missing], at) {
            Err(Errno::INTR) => continue,
            other => other?.0.len(),
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: `pread` has just filled the first `read` bytes of the spare capacity.
        unsafe { out.set_len(out.len() + read) };
        missing -= read;
        at += read as u64;
    }
    Ok(())
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

fn checked_path(key: &Key) -> io::Result<String> {
    if key.name.split('/').all(is_valid_name) {
        Ok(key.to_string())
    } else {
        Err(io::Error::other("not a valid object name"))
    }
}
