//! A directory on a server: paths, listings and removal.

use std::path::{Path, PathBuf};

use super::connection::Connection;
use super::error::SftpError;
use super::multiplexer::Sent;
use super::wire::{Answer, Attributes, Handle, READING, Request};
use crate::store::listing::{ENDLESS, Room};
use crate::store::{ErrorKind, OBJECT_LEN_MAX_BYTES, is_valid_name};

/// `READDIR` requests in flight per directory; doubled each round. Two suffice for a small
/// directory: the second reply is its end.
const NAMES_AHEAD_MIN: usize = 2;
const NAMES_AHEAD_MAX: usize = 16;
/// Free bytes below which a file system counts as full.
const ROOM_MIN_BYTES: u64 = 64 << 10;

/// The repository's directory on the server.
pub(super) struct RemoteDir {
    path: String,
}

/// An entry of a directory, links followed.
pub(super) struct RemoteEntry {
    pub name: String,
    /// A directory, else a regular file.
    pub is_dir: bool,
    pub len_bytes: u64,
    /// Last change by the server's clock, in seconds since 1970.
    pub modified_s: Option<i64>,
}

impl RemoteDir {
    /// Takes the path as locations write it; an empty one is the directory where a login begins.
    pub(super) fn new(path: &str) -> Self {
        let trimmed = path.trim_end_matches('/');
        let path = match (trimmed, path) {
            ("", "") => ".",
            ("", _) => "/",
            (trimmed, _) => trimmed,
        };
        Self { path: path.to_owned() }
    }

    /// Returns the directory's path on the server.
    pub(super) fn root(&self) -> &Path {
        Path::new(&self.path)
    }

    /// Returns the server's path of a file below it.
    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.root().join(below)
    }

    /// Fails unless the directory exists.
    pub(super) fn check(&self, connection: &Connection) -> Result<(), SftpError> {
        match connection.attributes(connection.send(&Request::Stat(self.root()))) {
            Ok(attributes) if attributes.is_dir() => Ok(()),
            Ok(_) => Err(SftpError::NotADir(self.path.clone())),
            Err(error) if error.is_missing() => Err(SftpError::NoSuchDir(self.path.clone())),
            Err(error) => Err(error),
        }
    }

    /// Makes the directory and missing parents, for the owner only.
    pub(super) fn make(&self, connection: &Connection) -> Result<(), SftpError> {
        match self.check(connection) {
            Err(SftpError::NoSuchDir(_)) => {}
            other => return other,
        }
        let ends = self
            .path
            .match_indices('/')
            .map(|(at, _)| at)
            .filter(|at| *at > 0)
            .chain([self.path.len()]);
        let mut refused = None;
        for end in ends {
            // Servers fail in different ways if one exists. Only the existence of the last one
            // counts.
            match connection.ask(&Request::MakeDir(Path::new(&self.path[..end]), 0o700)) {
                Err(error) if error.is_status() => refused = Some(error),
                other => drop(other?),
            }
        }
        match (self.check(connection), refused) {
            (Err(SftpError::NoSuchDir(_)), Some(refused)) => Err(refused),
            (result, _) => result,
        }
    }

    /// Makes missing directories below it; `below` lists parents first.
    pub(super) fn make_all_inner(
        &self,
        connection: &Connection,
        below: &[&str],
    ) -> Result<(), SftpError> {
        let all = |ask: &dyn Fn(&Path) -> Sent| -> Vec<Sent> {
            below.iter().map(|below| ask(&self.path(below))).collect()
        };
        let made = all(&|path| connection.send(&Request::MakeDir(path, 0o755)));
        // Servers fail in different ways if one exists, so its attributes decide.
        let there = all(&|path| connection.send(&Request::Stat(path)));
        let mut result = Ok(());
        for (made, there) in made.into_iter().zip(there) {
            let made = connection.done(made);
            let is_there = connection.attributes(there).is_ok_and(|attributes| attributes.is_dir());
            if result.is_ok() && !is_there {
                result = made;
            }
        }
        result
    }

    /// Returns the length of a regular file below it; fails for anything else.
    pub(super) fn len_bytes(&self, connection: &Connection, below: &str) -> Result<u64, SftpError> {
        regular_len_bytes(
            &connection.attributes(connection.send(&Request::Stat(&self.path(below))))?,
        )
    }

    /// Returns the entries of a directory below it; `None` if the directory is missing.
    pub(super) fn list(
        &self,
        connection: &Connection,
        below: &str,
    ) -> Result<Option<Vec<RemoteEntry>>, SftpError> {
        Ok(self.list_all(connection, &[below], &Room::for_few())?.pop().flatten())
    }

    /// Returns the entries of several directories below it, listed concurrently; `None` for missing
    /// ones.
    ///
    /// Leaves out names that no object and no directory of objects can have. Fails when `room` is
    /// used up.
    pub(super) fn list_all(
        &self,
        connection: &Connection,
        below: &[&str],
        room: &Room,
    ) -> Result<Vec<Option<Vec<RemoteEntry>>>, SftpError> {
        let paths: Vec<PathBuf> = below.iter().map(|below| self.path(below)).collect();
        let mut all = Vec::with_capacity(paths.len());
        for (found, path) in read_names(connection, &paths, room)?.into_iter().zip(&paths) {
            all.push(found.map(|found| to_entries(connection, path, found)).transpose()?);
        }
        Ok(all)
    }

    /// Removes a file below it; a missing one is no failure.
    pub(super) fn remove(&self, connection: &Connection, below: &str) -> Result<(), SftpError> {
        let path = self.path(below);
        match connection
            .done(connection.send(&Request::Remove(&path)))
            .map_err(SftpError::when_sent)
        {
            Err(error) if error.is_missing() => Ok(()),
            Err(error) if error.is_status() => match connection.ask(&Request::LStat(&path)) {
                Err(again) if again.is_missing() => Ok(()),
                _ => Err(self.explain(connection, below, 0, error)),
            },
            other => other,
        }
    }

    /// Replaces a plain refusal by its cause, if the file system is full or read-only. `below` is a
    /// file of that file system.
    ///
    /// OpenSSH itself reports only "failure".
    pub(super) fn explain(
        &self,
        connection: &Connection,
        below: &str,
        wanted_bytes: u64,
        error: SftpError,
    ) -> SftpError {
        if !error.is_status() || error.kind() != ErrorKind::Other {
            return error;
        }
        let opened = connection.opened(connection.send(&Request::Open(&self.path(below), READING)));
        let Ok(handle) = opened else { return error };
        let answer = connection.ask(&Request::StatFileSystem(&handle));
        connection.send_ignoring_reply(&Request::Close(&handle));
        match answer.ok().and_then(|answer| answer.file_system()) {
            Some(system) if system.is_read_only => SftpError::ReadOnly,
            Some(system) => {
                let has_no_files = system.files.0 > 0 && system.files.1 == 0;
                if has_no_files || system.room_bytes < wanted_bytes.max(ROOM_MIN_BYTES) {
                    SftpError::Full
                } else {
                    error
                }
            }
            None => error,
        }
    }
}

/// A name and its attributes.
type NamedAttributes = (String, Attributes);

/// Keeps regular files and directories, links followed.
fn to_entries(
    connection: &Connection,
    path: &Path,
    found: Vec<NamedAttributes>,
) -> Result<Vec<RemoteEntry>, SftpError> {
    let mut entries = Vec::with_capacity(found.len());
    for (name, mut attributes) in found {
        if !(attributes.is_dir() || attributes.is_file() && attributes.len_bytes.is_some()) {
            // A link, or a server that sends few attributes.
            attributes =
                match connection.attributes(connection.send(&Request::Stat(&path.join(&name)))) {
                    Err(error) if error.is_status() => continue,
                    other => other?,
                };
        }
        if attributes.is_dir() || attributes.is_file() {
            let (is_dir, len_bytes) = (attributes.is_dir(), attributes.len_bytes.unwrap_or(0));
            entries.push(RemoteEntry {
                name,
                is_dir,
                len_bytes,
                modified_s: attributes.modified_s.map(i64::from),
            });
        }
    }
    Ok(entries)
}

/// A directory that is being listed.
struct DirListing {
    /// `None` if the directory is missing.
    handle: Option<Handle>,
    found: Vec<NamedAttributes>,
    is_read: bool,
}

/// Returns the names in each directory; `None` for missing ones.
///
/// All replies are read, even if the first ones are errors.
fn read_names(
    connection: &Connection,
    paths: &[PathBuf],
    room: &Room,
) -> Result<Vec<Option<Vec<NamedAttributes>>>, SftpError> {
    let asked: Vec<Sent> =
        paths.iter().map(|path| connection.send(&Request::OpenDir(path))).collect();
    let mut result = Ok(());
    let mut folders = Vec::with_capacity(paths.len());
    for sent in asked {
        let handle = match connection.opened(sent) {
            Ok(handle) => Some(handle),
            Err(error) => {
                if !error.is_missing() {
                    result = result.and(Err(error));
                }
                None
            }
        };
        folders.push(DirListing { is_read: handle.is_none(), handle, found: Vec::new() });
    }
    let mut ahead = NAMES_AHEAD_MIN;
    while result.is_ok() && folders.iter().any(|folder| !folder.is_read) {
        result = read_more(connection, &mut folders, ahead, room);
        ahead = NAMES_AHEAD_MAX.min(2 * ahead);
    }
    folders
        .iter()
        .filter_map(|folder| folder.handle.as_ref())
        .for_each(|handle| connection.send_ignoring_reply(&Request::Close(handle)));
    result.map(|()| folders.into_iter().map(|folder| folder.handle.map(|_| folder.found)).collect())
}

/// Sends `ahead` requests for more names of each directory that is not at its end.
fn read_more(
    connection: &Connection,
    folders: &mut [DirListing],
    ahead: usize,
    room: &Room,
) -> Result<(), SftpError> {
    let mut asked = Vec::new();
    for (at, folder) in folders.iter().enumerate() {
        if let Some(handle) = folder.handle.as_ref().filter(|_| !folder.is_read) {
            asked.extend((0..ahead).map(|_| (at, connection.send(&Request::ReadDir(handle)))));
        }
    }
    let mut result = Ok(());
    for (at, sent) in asked {
        match connection.answer(sent) {
            Ok(Answer::Names(names)) if !names.is_empty() => {
                if !names.iter().all(|(name, _)| room.take(name.len())) {
                    result = result.and(Err(SftpError::Refused(ENDLESS)));
                } else if result.is_ok() {
                    folders[at].found.extend(
                        names
                            .into_iter()
                            .filter_map(|(name, attributes)| of_a_repository(name, attributes)),
                    );
                }
            }
            Ok(_) => result = result.and(Err(connection.protocol_error())),
            Err(error) if error.is_end() => folders[at].is_read = true,
            Err(error) => result = result.and(Err(error)),
        }
    }
    result
}

/// Keeps names that an object, or a directory of objects, can have.
fn of_a_repository(name: Vec<u8>, attributes: Attributes) -> Option<NamedAttributes> {
    String::from_utf8(name).ok().filter(|name| is_valid_name(name)).map(|name| (name, attributes))
}

/// Returns the length of a regular file; fails for anything else, and for files longer than an
/// object may be.
pub(super) fn regular_len_bytes(attributes: &Attributes) -> Result<u64, SftpError> {
    match attributes.len_bytes {
        Some(len) if attributes.is_file() && len <= OBJECT_LEN_MAX_BYTES => Ok(len),
        Some(_) if attributes.is_file() => {
            Err(SftpError::Unreadable("it is longer than any object may be"))
        }
        _ => Err(SftpError::Unreadable("it is not a regular file")),
    }
}
