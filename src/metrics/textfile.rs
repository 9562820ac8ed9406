//! Metrics in a file, for the textfile collector of Prometheus' node exporter.
//!
//! The collector reads all files that end in `.prom` whenever it is asked. So a file appears whole
//! or not at all, and the scratch file has another ending.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// How long a writer waits for another one.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);
/// Interval at which a waiting writer tries again.
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// Replaces the file at `path` by what `gather` returns; the folder must exist.
///
/// Runs of several apps may end at the same time, and each writes the values of all. So values are
/// gathered while the folder is locked: otherwise the older of two views could be renamed last, and
/// remain until the next night.
///
/// A death at any point leaves the old file or the new one, and at most one scratch file, which
/// the next call removes. Fails after ten seconds if another writer does not end.
pub fn update(path: &Path, gather: impl FnOnce() -> String) -> io::Result<()> {
    update_within(path, LOCK_WAIT_MAX, gather)
}

fn update_within(
    path: &Path,
    wait_max: Duration,
    gather: impl FnOnce() -> String,
) -> io::Result<()> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(ErrorKind::InvalidInput, "the path has no file name"));
    };
    let folder = File::open(folder_of(path))?;
    lock(&folder, wait_max)?;
    let text = gather();
    let mut scratch = OsString::from(".");
    scratch.push(name);
    scratch.push(".new");
    // The lock says that its writer is dead.
    match rustix::fs::unlinkat(&folder, &scratch, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    // Exclusive: where others may write to the folder, they could have put a link there.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&folder, &scratch, flags, Mode::RUSR | Mode::WUSR)?;
    let written = fill(file.into(), &text)
        .and_then(|()| Ok(rustix::fs::renameat(&folder, &scratch, &folder, name)?));
    if written.is_err() {
        let _ = rustix::fs::unlinkat(&folder, &scratch, AtFlags::empty());
    }
    written?;
    folder.sync_all()
}

/// Writes a file that everybody may read, whatever the umask says, and waits until it is stored.
fn fill(mut file: File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH)?;
    file.sync_all()
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Locks a folder until it is closed, which a death does too.
fn lock(folder: &File, wait_max: Duration) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if start.elapsed() >= wait_max => {
                let says = "another process writes there and does not end";
                return Err(io::Error::new(ErrorKind::TimedOut, says));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_RETRY),
        }
    }
}

#[cfg(test)]
mod tests;
