//! A folder on a server: where its files are, and reading, listing and removing them.

use std::io::{Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use ssh2::{File, FileStat};

use super::connection::Connection;
use super::error::SftpError;
use crate::store::pace::PIECE_LEN_MAX_BYTES;
use crate::store::{ErrorKind, OBJECT_LEN_MAX_BYTES};

/// libssh2 asks for four times the bytes of the buffer that it is given, and all that was asked for is transferred.
const READ_AHEAD: usize = 4;
/// Room for a file system that says it is full before it is.
const ROOM_MIN_BYTES: u64 = 64 << 10;
/// `SSH_FXE_STATVFS_ST_RDONLY` of OpenSSH's extension.
const IS_READ_ONLY: u64 = 1;

/// The repository's folder.
pub struct Folder {
    path: String,
}

/// What a folder holds, links followed.
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Whether it is a folder; else it is a regular file.
    pub is_folder: bool,
    /// Its length in bytes.
    pub len_bytes: u64,
    /// When it was changed last, by the server's clock, in seconds since 1970.
    pub modified_s: Option<i64>,
}

impl Folder {
    /// Takes the folder's path as it is written in locations; an empty one is where a login begins.
    pub fn new(path: &str) -> Self {
        let trimmed = path.trim_end_matches('/');
        let path = match (trimmed, path) {
            ("", "") => ".",
            ("", _) => "/",
            (trimmed, _) => trimmed,
        };
        Self { path: path.to_owned() }
    }

    /// Returns the folder's own path on the server.
    pub fn root(&self) -> &Path {
        Path::new(&self.path)
    }

    /// Returns the path on the server of what lies in it.
    pub fn path(&self, below: &str) -> PathBuf {
        self.root().join(below)
    }

    /// Fails unless there is such a folder.
    pub fn check(&self, connection: &Connection) -> Result<(), SftpError> {
        match connection.call(|sftp| sftp.stat(self.root())) {
            Ok(stat) if stat.is_dir() => Ok(()),
            Ok(_) => Err(SftpError::NotAFolder(self.path.clone())),
            Err(error) if error.is_missing() => Err(SftpError::NoSuchFolder(self.path.clone())),
            Err(error) => Err(error),
        }
    }

    /// Makes the folder and those above it, for its owner only, unless they are there.
    pub fn make(&self, connection: &Connection) -> Result<(), SftpError> {
        match self.check(connection) {
            Err(SftpError::NoSuchFolder(_)) => {}
            other => return other,
        }
        let ends = self.path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0).chain([self.path.len()]);
        let mut refused = None;
        for end in ends {
            // One that exists fails in different ways; whether the last one is there is what counts.
            match connection.call(|sftp| sftp.mkdir(Path::new(&self.path[..end]), 0o700)) {
                Err(error) if error.is_status() => refused = Some(error),
                other => other?,
            }
        }
        match (self.check(connection), refused) {
            (Err(SftpError::NoSuchFolder(_)), Some(refused)) => Err(refused),
            (result, _) => result,
        }
    }

    /// Makes one folder in it, unless it is there.
    pub fn make_inner(&self, connection: &Connection, below: &str) -> Result<(), SftpError> {
        let path = self.path(below);
        match connection.call(|sftp| sftp.mkdir(&path, 0o755)) {
            // One that exists fails in different ways.
            Err(error) if error.is_status() => match connection.call(|sftp| sftp.stat(&path)) {
                Ok(stat) if stat.is_dir() => Ok(()),
                Err(again) if !again.is_status() => Err(again),
                _ => Err(error),
            },
            other => other,
        }
    }

    /// Returns the length of a file in it; anything but a regular file is refused.
    pub fn len_bytes(&self, connection: &Connection, below: &str) -> Result<u64, SftpError> {
        regular_len_bytes(&connection.call(|sftp| sftp.stat(&self.path(below)))?)
    }

    /// Returns what lies in a folder in it; nothing if it is missing.
    pub fn list(&self, connection: &Connection, below: &str) -> Result<Vec<Entry>, SftpError> {
        let path = self.path(below);
        let mut folder = match connection.call(|sftp| sftp.opendir(&path)) {
            Err(error) if error.is_missing() => return Ok(Vec::new()),
            other => other?,
        };
        let mut found = Vec::new();
        while let Some((name, stat)) = connection.read_folder(&mut folder)? {
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            found.push((name.to_owned(), stat));
        }
        let _ = connection.call_file(&mut folder, File::close);
        let mut entries = Vec::with_capacity(found.len());
        for (name, mut stat) in found {
            if !(stat.is_dir() || stat.is_file() && stat.size.is_some()) {
                // A link, or a server that says little.
                stat = match connection.call(|sftp| sftp.stat(&path.join(&name))) {
                    Err(error) if error.is_status() => continue,
                    other => other?,
                };
            }
            if stat.is_dir() || stat.is_file() {
                let modified_s = stat.mtime.and_then(|at| i64::try_from(at).ok());
                entries.push(Entry { name, is_folder: stat.is_dir(), len_bytes: stat.size.unwrap_or(0), modified_s });
            }
        }
        Ok(entries)
    }

    /// Appends a range of a file, or all of it, to `out`.
    ///
    /// Fails with [`SftpError::Short`] if the file ends before the range does.
    pub fn read(
        &self,
        connection: &Connection,
        below: &str,
        range: Option<Range<u64>>,
        out: &mut Vec<u8>,
    ) -> Result<(), SftpError> {
        let mut file = connection.call(|sftp| sftp.open(self.path(below)))?;
        let result = match range {
            Some(range) => read_range(connection, &mut file, range, out),
            None => {
                let stat = connection.call_file(&mut file, File::stat);
                let len = stat.and_then(|stat| regular_len_bytes(&stat));
                len.and_then(|len| read_range(connection, &mut file, 0..len, out))
            }
        };
        if !connection.is_broken() {
            // What was read has been read.
            let _ = connection.call_file(&mut file, File::close);
        }
        result
    }

    /// Removes a file in it; a missing one is no failure.
    pub fn remove(&self, connection: &Connection, below: &str) -> Result<(), SftpError> {
        match connection.call(|sftp| sftp.unlink(&self.path(below))).map_err(SftpError::when_sent) {
            Err(error) if error.is_missing() => Ok(()),
            Err(error) if error.is_status() => match connection.call(|sftp| sftp.lstat(&self.path(below))) {
                Err(again) if again.is_missing() => Ok(()),
                _ => Err(self.explain(connection, below, 0, error)),
            },
            other => other,
        }
    }

    /// Makes a plain refusal one that says why, if a file of the same file system tells: it is full, or takes no changes.
    pub fn explain(&self, connection: &Connection, below: &str, wanted_bytes: u64, error: SftpError) -> SftpError {
        if !is_plain_refusal(&error) {
            return error;
        }
        let Ok(mut file) = connection.call(|sftp| sftp.open(self.path(below))) else { return error };
        let error = explain_by(connection, &mut file, wanted_bytes, error);
        let _ = connection.call_file(&mut file, File::close);
        error
    }
}

/// As [`Folder::explain`], by a file that is open.
pub fn explain_by(connection: &Connection, file: &mut File, wanted_bytes: u64, error: SftpError) -> SftpError {
    if !is_plain_refusal(&error) {
        return error;
    }
    match connection.call_file(file, File::statvfs) {
        Ok(system) if system.f_flag & IS_READ_ONLY != 0 => SftpError::ReadOnly,
        Ok(system) => {
            let room_bytes = system.f_bavail.saturating_mul(system.f_frsize);
            let has_no_files = system.f_files > 0 && system.f_favail == 0;
            if has_no_files || room_bytes < wanted_bytes.max(ROOM_MIN_BYTES) { SftpError::Full } else { error }
        }
        Err(_) => error,
    }
}

/// OpenSSH says no more than "failure" when a disk is full or takes no changes.
fn is_plain_refusal(error: &SftpError) -> bool {
    error.is_status() && error.kind() == ErrorKind::Other
}

fn regular_len_bytes(stat: &FileStat) -> Result<u64, SftpError> {
    match stat.size {
        Some(size) if stat.is_file() && size <= OBJECT_LEN_MAX_BYTES => Ok(size),
        Some(_) if stat.is_file() => Err(SftpError::Refused("it is longer than any object may be")),
        _ => Err(SftpError::Refused("it is not a regular file")),
    }
}

/// What is asked for at once where the line must not be filled.
const LIMITED_LEN_BYTES: usize = 8 * PIECE_LEN_MAX_BYTES;

fn read_range(connection: &Connection, file: &mut File, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), SftpError> {
    let len = usize::try_from(range.end.saturating_sub(range.start)).map_err(|_| SftpError::Short)?;
    if file.seek(SeekFrom::Start(range.start)).is_err() {
        return Err(SftpError::Refused("its bytes cannot be read from the middle"));
    }
    let start = out.len();
    out.resize(start + len, 0);
    let mut rest = &mut out[start..];
    while !rest.is_empty() {
        // So never more is asked for than the range, but all of it at once.
        let pace = connection.pace();
        let wanted = if pace.is_unlimited() { rest.len() } else { rest.len().min(LIMITED_LEN_BYTES) };
        let buffer_len = (wanted / READ_AHEAD).max(1);
        let read = connection.read(file, &mut rest[..buffer_len])?;
        pace.download(read);
        if read == 0 {
            return Err(SftpError::Short);
        }
        rest = &mut rest[read..];
    }
    Ok(())
}
