//! Store in a directory of another machine, reached by SFTP. Spec: `format-spec/12-store.md`,
//! section 5.
//!
//! Uses only requests of SFTP version 3, and OpenSSH's `fsync` and `fstatvfs` where a server has
//! them; never a shell command. Requests that do not depend on each other are sent without waiting
//! for replies, because each round trip to a remote server takes long.

mod base64;
pub mod candidates;
mod connection;
mod dial;
pub mod error;
pub mod host_key;
mod login;
mod multiplexer;
mod open_files;
pub mod options;
pub mod pattern;
mod pool;
mod preopened;
pub mod proxy;
mod public_key;
mod publish;
mod read;
mod remote_dir;
pub mod wire;

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use self::connection::Connection;
use self::error::SftpError;
use self::options::SftpOptions;
use self::pool::{Lease, Pool, PoolOptions, Sharing};
use self::publish::{SCRATCH_DIR, SftpPublisher};
use self::remote_dir::{RemoteDir, RemoteEntry};
use super::listing::Room;
use super::{
    Action, Class, Key, Listed, OBJECT_LEN_MAX_BYTES, Store, StoreError, StoreProperties,
    is_valid_name,
};

use crate::sync::{self, lock};

/// Directory levels below a class that are searched for objects: `data/<2 hex>/<64 hex>` needs one.
const DIR_LEVELS_MAX: usize = 2;
/// Directories listed at once over one connection: the server holds each of them open.
const DIRS_AT_ONCE: usize = 16;

/// A store in a directory of a server; concurrent callers share its connections.
pub struct SftpStore {
    pool: Pool,
    folder: RemoteDir,
    location: String,
    publisher: SftpPublisher,
}

impl SftpStore {
    /// Opens the store in an existing directory. Success proves that the server can be reached, is
    /// the right one and accepts the login.
    ///
    /// Fails with [`ErrorKind::NotFound`](super::ErrorKind::NotFound) if the directory is missing,
    /// and with an [`SftpError`] as cause.
    pub fn open(options: SftpOptions) -> Result<Self, StoreError> {
        let store = Self::open_unchecked(options);
        store.with(Action::List, Sharing::Small, "its folder", |connection| {
            store.folder.check(connection)
        })?;
        Ok(store)
    }

    /// Opens the store without asking the server anything. If the directory is missing, requests
    /// fail like [`open`](Self::open).
    pub fn open_unchecked(options: SftpOptions) -> Self {
        let location = options.location();
        Self {
            folder: RemoteDir::new(&options.path),
            pool: Pool::new(PoolOptions::from(&options), move || Connection::open(&options)),
            location,
            publisher: SftpPublisher::default(),
        }
    }

    /// Opens the store in a directory, which is made (for its owner only) if it is missing, with a
    /// directory for each class.
    ///
    /// Dying before the return leaves empty directories at worst.
    pub fn open_or_make(options: SftpOptions) -> Result<Self, StoreError> {
        let store = Self::open_unchecked(options);
        store.with(Action::Create, Sharing::Small, "its folder", |connection| {
            store.folder.make(connection)?;
            let wanted: Vec<_> =
                Class::ALL.iter().map(|class| class.dir_name()).chain([SCRATCH_DIR]).collect();
            store.folder.make_all_inner(connection, &wanted)
        })?;
        Ok(store)
    }

    /// Runs `act` with a connection, and adds the action and the object to its error.
    fn with<T>(
        &self,
        action: Action,
        sharing: Sharing,
        object: impl ToString,
        act: impl FnOnce(&Lease<'_>) -> Result<T, SftpError>,
    ) -> Result<T, StoreError> {
        self.with_one(action, self.pool.lease(sharing), object, act)
    }

    fn with_one<T>(
        &self,
        action: Action,
        leased: Result<Lease<'_>, SftpError>,
        object: impl ToString,
        act: impl FnOnce(&Lease<'_>) -> Result<T, SftpError>,
    ) -> Result<T, StoreError> {
        let result = leased.and_then(|connection| {
            // An object may be missing because the whole repository is.
            act(&connection).map_err(|error| {
                match error.is_missing().then(|| self.folder.check(&connection)) {
                    Some(Err(why @ SftpError::NoSuchDir(_))) => why,
                    _ => error,
                }
            })
        });
        result.map_err(|error| self.fail(action, object, error))
    }

    fn fail(&self, action: Action, object: impl ToString, error: SftpError) -> StoreError {
        let (location, object) = (self.location.clone(), object.to_string());
        StoreError {
            kind: error.kind(),
            action: action.name(),
            location,
            object,
            source: error.into(),
        }
    }

    fn try_list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, SftpError> {
        let mut listing = ClassListing { prefix, found: Vec::new(), dirs: Vec::new() };
        let guessed: Vec<String> =
            guesses(class).iter().map(|below| format!("{}/{below}", class.dir_name())).collect();
        let paths: Vec<&str> =
            [class.dir_name()].into_iter().chain(guessed.iter().map(String::as_str)).collect();
        let (connection, room) = (self.pool.lease(Sharing::Small)?, Room::for_class(class));
        let mut listed = self.folder.list_all(&connection, &paths, &room)?.into_iter();
        let entries = match listed.next().flatten() {
            Some(entries) => entries,
            None => {
                // A class without objects may have no directory; but the store itself must exist.
                self.folder.check(&connection)?;
                Vec::new()
            }
        };
        drop(connection);
        listing.take(entries, "");
        for (below, entries) in guesses(class).iter().zip(listed) {
            if let Some(at) = listing.dirs.iter().position(|folder| folder == below) {
                listing.dirs.swap_remove(at);
                listing.take(entries.unwrap_or_default(), &format!("{below}/"));
            }
        }
        for _ in 0..DIR_LEVELS_MAX {
            for (below, entries) in
                self.list_dirs(class, std::mem::take(&mut listing.dirs), &room)?
            {
                listing.take(entries, &format!("{below}/"));
            }
        }
        Ok(listing.found)
    }

    /// Lists directories of a class, several at once, over as many connections as allowed.
    fn list_dirs(
        &self,
        class: Class,
        dirs: Vec<String>,
        room: &Room,
    ) -> Result<Vec<(String, Vec<RemoteEntry>)>, SftpError> {
        let (next, listed) = (AtomicUsize::new(0), Mutex::new(Ok(Vec::with_capacity(dirs.len()))));
        let groups: Vec<&[String]> = dirs.chunks(DIRS_AT_ONCE).collect();
        let list = |group: &[String]| {
            let paths: Vec<String> =
                group.iter().map(|below| format!("{}/{below}", class.dir_name())).collect();
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            self.pool
                .lease(Sharing::Small)
                .and_then(|connection| self.folder.list_all(&connection, &paths, room))
        };
        let work = || {
            while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                let entries = list(group);
                let mut listed = lock(&listed);
                match (entries, &mut *listed) {
                    (Ok(entries), Ok(all)) => all.extend(
                        group
                            .iter()
                            .cloned()
                            .zip(entries.into_iter().map(Option::unwrap_or_default)),
                    ),
                    (Err(error), Ok(_)) => *listed = Err(error),
                    (_, Err(_)) => {}
                }
                if listed.is_err() {
                    return;
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..self.pool.connections_max().min(groups.len()) {
                scope.spawn(work);
            }
            work();
        });
        sync::into_inner(listed)
    }
}

/// Returns directories of a class that usually exist, so that they are listed without waiting for
/// the listing that names them.
fn guesses(class: Class) -> &'static [&'static str] {
    if matches!(class, Class::Index) { &["0", "1"] } else { &[] }
}

/// The listing of one class while it is collected.
struct ClassListing<'a> {
    prefix: &'a str,
    found: Vec<Listed>,
    /// Directories below that of the class that are still to be listed.
    dirs: Vec<String>,
}

impl ClassListing<'_> {
    /// Sorts the entries of one directory into objects and directories.
    fn take(&mut self, entries: Vec<RemoteEntry>, below: &str) {
        for RemoteEntry { name, is_dir, len_bytes, modified_s } in entries {
            let name = format!("{below}{name}");
            if is_dir && (name.starts_with(self.prefix) || self.prefix.starts_with(&name)) {
                self.dirs.push(name);
            } else if !is_dir && name.starts_with(self.prefix) {
                self.found.push(Listed::new(name, len_bytes, modified_s));
            }
        }
    }
}

impl Store for SftpStore {
    fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.try_list(class, prefix)
            .map_err(|error| self.fail(Action::List, class.dir_name(), error))
    }

    fn stat(&self, key: &Key) -> Result<u64, StoreError> {
        self.with(Action::Stat, Sharing::Small, key, |connection| {
            self.folder.len_bytes(connection, &checked_path(key)?)
        })
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let len = range.end.saturating_sub(range.start);
        let path = checked_path(key).map_err(|error| self.fail(Action::Read, key, error))?;
        let leased = self.pool.lease_for(&self.folder.path(&path), Sharing::of_len(len));
        self.with_one(Action::Read, leased, key, |connection| {
            if len == 0 || len > OBJECT_LEN_MAX_BYTES {
                // Reading would not check that the object exists and is long enough.
                return match self.folder.len_bytes(connection, &path)? {
                    object_len if range.end > object_len => Err(SftpError::Short),
                    _ if len == 0 => Ok(()),
                    _ => Err(SftpError::Unreadable("longer than any object may be")),
                };
            }
            read::read(connection, &self.folder.path(&path), Some(range), out)
        })
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        let mut out = Vec::new();
        let sharing = match key.class {
            Class::Data | Class::Meta | Class::Index => Sharing::Bulk,
            _ => Sharing::Small,
        };
        self.with(Action::Read, sharing, key, |connection| {
            read::read(connection, &self.folder.path(&checked_path(key)?), None, &mut out)
        })?;
        Ok(out)
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        // A probe tests what the server does when two connections create one name.
        let sharing = if key.class == Class::Probe {
            Sharing::Exclusive
        } else {
            Sharing::of_len(bytes.len() as u64)
        };
        self.with(Action::Create, sharing, key, |connection| {
            if bytes.len() as u64 > OBJECT_LEN_MAX_BYTES {
                return Err(SftpError::Refused("longer than any object may be"));
            }
            self.publisher.publish(connection, &self.folder, &checked_path(key)?, bytes)
        })
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.with(Action::Remove, Sharing::Small, key, |connection| {
            self.folder.remove(connection, &checked_path(key)?)
        })
    }

    fn location(&self) -> &str {
        &self.location
    }

    fn properties(&self) -> StoreProperties {
        StoreProperties {
            parallelism: self.pool.connections_max(),
            is_local: false,
            can_run_full: true,
        }
    }

    fn hint_reads(&self, keys: &[Key]) {
        let paths: Vec<_> = keys
            .iter()
            .filter_map(|key| Some(self.folder.path(&checked_path(key).ok()?)))
            .collect();
        if paths.is_empty() || !self.pool.keeps_files() {
            return;
        }
        // The read itself reports what is wrong.
        if let Ok(connection) = self.pool.lease(Sharing::Small) {
            read::open_ahead(&connection, &paths);
        }
    }

    fn has_create_race(&self) -> bool {
        self.pool.has_create_race()
    }
}

fn checked_path(key: &Key) -> Result<String, SftpError> {
    if key.name.split('/').all(is_valid_name) {
        Ok(key.to_string())
    } else {
        Err(SftpError::Refused("not a valid object name"))
    }
}
