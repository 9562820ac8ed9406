//! Files that belong to a database: `-wal`, `-shm`, `-journal`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::sources::failure::failed;

/// Endings of their names.
pub(super) const SUFFIXES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Returns the path of a file that belongs to a database.
pub(super) fn companion(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Opens an ordinary file for reading. Never waits for a pipe, never follows a link, which another
/// user may have put there.
pub(super) fn open_plain(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not an ordinary file")),
    }
}

/// Opens a companion, if it is there.
pub(super) fn open_companion(database: &Path, suffix: &str) -> io::Result<Option<File>> {
    let path = companion(database, suffix);
    match open_plain(&path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(|| format!("cannot read {}", crate::text::path(&path)))(error)),
    }
}

/// Returns whether programs have a database open in WAL mode, or left it so when they died.
///
/// Must not be called while the library has the database open in this process: its locks on the
/// shared memory would be gone.
pub(super) fn is_open_in_wal_mode(database: &Path) -> io::Result<bool> {
    let files = [open_companion(database, "-wal")?, open_companion(database, "-shm")?];
    Ok(files.iter().all(Option::is_some))
}
