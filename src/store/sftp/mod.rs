//! A folder of another machine, reached by SFTP, as a store. Spec: `format-spec/12-store.md`, section 5.
//!
//! Only requests of SFTP version 3 are used, and OpenSSH's `fsync` and `fstatvfs` where a server has them; never a command of a shell. What does
//! not depend on an answer is asked without waiting for it: a distant server would be waited for otherwise.

mod connection;
pub mod error;
mod folder;
mod host_key;
mod line;
pub mod login;
pub mod options;
pub mod pattern;
mod pool;
mod publish;
mod read;
mod wire;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use self::error::SftpError;
use self::folder::{Entry, Folder};
use self::options::SftpOptions;
use self::pool::{Lease, Pool};
use self::publish::{Publisher, SCRATCH_FOLDER};
use super::{Action, Class, Key, Listed, OBJECT_LEN_MAX_BYTES, Store, StoreError, is_valid_name};

/// Folders below a class's folder that are searched for objects: `data/<2 hex>/<64 hex>` needs one.
const FOLDER_LEVELS_MAX: usize = 2;

/// A store in a folder of a server; whoever calls it at once shares its connections.
pub struct SftpStore {
    pool: Pool,
    folder: Folder,
    location: String,
    publisher: Publisher,
}

impl SftpStore {
    /// Opens the store in an existing folder, which proves that the server can be reached, is the right one and lets us in.
    ///
    /// Fails with [`ErrorKind::NotFound`](super::ErrorKind::NotFound) if there is no such folder, and with an [`SftpError`] as cause.
    pub fn open(options: SftpOptions) -> Result<Self, StoreError> {
        let store = Self::take_for_granted(options);
        store.with(Action::List, "its folder", |connection| store.folder.check(connection))?;
        Ok(store)
    }

    /// Opens the store in a folder that is taken for granted: nothing is asked yet. If it is missing, requests fail like [`open`](Self::open).
    pub fn take_for_granted(options: SftpOptions) -> Self {
        let location = options.location();
        Self { folder: Folder::new(&options.path), pool: Pool::new(options), location, publisher: Publisher::default() }
    }

    /// Opens the store in a folder, which is made (for its owner only) if it is missing, with a folder for each class.
    ///
    /// Dying before the return leaves empty folders at worst.
    pub fn open_or_make(options: SftpOptions) -> Result<Self, StoreError> {
        let store = Self::take_for_granted(options);
        store.with(Action::Create, "its folder", |connection| {
            store.folder.make(connection)?;
            let wanted: Vec<_> = Class::ALL.iter().map(|class| class.folder()).chain([SCRATCH_FOLDER]).collect();
            store.folder.make_all_inner(connection, &wanted)
        })?;
        Ok(store)
    }

    /// Acts with a connection, and says what could not be done if that fails.
    fn with<T>(
        &self,
        action: Action,
        object: impl ToString,
        act: impl FnOnce(&Lease<'_>) -> Result<T, SftpError>,
    ) -> Result<T, StoreError> {
        let result = self.pool.lease().and_then(|connection| {
            // What is missing may be so because all of it is.
            act(&connection).map_err(|error| match error.is_missing().then(|| self.folder.check(&connection)) {
                Some(Err(why @ SftpError::NoSuchFolder(_))) => why,
                _ => error,
            })
        });
        result.map_err(|error| self.fail(action, object, error))
    }

    fn fail(&self, action: Action, object: impl ToString, error: SftpError) -> StoreError {
        let (location, object) = (self.location.clone(), object.to_string());
        StoreError { kind: error.kind(), action: action.name(), location, object, source: error.into() }
    }

    fn try_list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, SftpError> {
        let mut search = Search { prefix, found: Vec::new(), folders: Vec::new() };
        let connection = self.pool.lease()?;
        let entries = match self.folder.list(&connection, class.folder())? {
            Some(entries) => entries,
            None => {
                // A class without objects may have no folder; but the store itself must be there.
                self.folder.check(&connection)?;
                Vec::new()
            }
        };
        drop(connection);
        search.take(entries, "");
        for _ in 0..FOLDER_LEVELS_MAX {
            for (below, entries) in self.list_folders(class, std::mem::take(&mut search.folders))? {
                search.take(entries, &format!("{below}/"));
            }
        }
        Ok(search.found)
    }

    /// Lists folders of a class, over as many connections as there may be.
    fn list_folders(&self, class: Class, folders: Vec<String>) -> Result<Vec<(String, Vec<Entry>)>, SftpError> {
        let (next, listed) = (AtomicUsize::new(0), Mutex::new(Ok(Vec::with_capacity(folders.len()))));
        let work = || {
            while let Some(below) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
                let path = format!("{}/{below}", class.folder());
                let entries =
                    self.pool.lease().and_then(|connection| self.folder.list(&connection, &path)).map(Option::unwrap_or_default);
                let mut listed = listed.lock().unwrap_or_else(PoisonError::into_inner);
                match (entries, &mut *listed) {
                    (Ok(entries), Ok(all)) => all.push((below.clone(), entries)),
                    (Err(error), Ok(_)) => *listed = Err(error),
                    (_, Err(_)) => {}
                }
                if listed.is_err() {
                    return;
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..self.pool.connections_max().min(folders.len()) {
                scope.spawn(work);
            }
            work();
        });
        listed.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listing in the making.
struct Search<'a> {
    prefix: &'a str,
    found: Vec<Listed>,
    /// Folders, below that of the class, that are still to be listed.
    folders: Vec<String>,
}

impl Search<'_> {
    /// Sorts what lies in one folder into objects and folders.
    fn take(&mut self, entries: Vec<Entry>, below: &str) {
        for Entry { name, is_folder, len_bytes, modified_s } in entries {
            if !is_valid_name(&name) {
                continue;
            }
            let name = format!("{below}{name}");
            if is_folder && (name.starts_with(self.prefix) || self.prefix.starts_with(&name)) {
                self.folders.push(name);
            } else if !is_folder && name.starts_with(self.prefix) {
                self.found.push(Listed { name, len_bytes, modified_s });
            }
        }
    }
}

impl Store for SftpStore {
    fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.try_list(class, prefix).map_err(|error| self.fail(Action::List, class.folder(), error))
    }

    fn stat(&self, key: &Key) -> Result<u64, StoreError> {
        self.with(Action::Stat, key, |connection| self.folder.len_bytes(connection, &checked_path(key)?))
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        self.with(Action::Read, key, |connection| {
            let path = checked_path(key)?;
            let len = range.end.saturating_sub(range.start);
            if len == 0 || len > OBJECT_LEN_MAX_BYTES {
                // Reading would not find out whether there is such an object, and whether it is so long.
                return match self.folder.len_bytes(connection, &path)? {
                    object_len if range.end > object_len => Err(SftpError::Short),
                    _ if len == 0 => Ok(()),
                    _ => Err(SftpError::Refused("longer than any object may be")),
                };
            }
            read::read(connection, &self.folder.path(&path), Some(range), out)
        })
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        let mut out = Vec::new();
        self.with(Action::Read, key, |connection| {
            read::read(connection, &self.folder.path(&checked_path(key)?), None, &mut out)
        })?;
        Ok(out)
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.with(Action::Create, key, |connection| {
            if bytes.len() as u64 > OBJECT_LEN_MAX_BYTES {
                return Err(SftpError::Refused("longer than any object may be"));
            }
            self.publisher.publish(connection, &self.folder, &checked_path(key)?, bytes)
        })
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.with(Action::Remove, key, |connection| self.folder.remove(connection, &checked_path(key)?))
    }

    fn location(&self) -> &str {
        &self.location
    }

    fn transfers(&self) -> usize {
        self.pool.connections_max()
    }

    fn is_racy(&self) -> bool {
        self.pool.is_racy()
    }
}

fn checked_path(key: &Key) -> Result<String, SftpError> {
    if key.name.split('/').all(is_valid_name) { Ok(key.to_string()) } else { Err(SftpError::Refused("not a valid object name")) }
}
