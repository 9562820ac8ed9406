//! SQLite's shared lock on the file of a database.
//!
//! While it is held, no program can write to a database with a rollback journal, and none can
//! remove the `-wal` and `-shm` of one in WAL mode: both need the exclusive lock. So what was seen
//! after the lock was taken still holds.
//!
//! The lock belongs to the open file: the library's own locks, which belong to the process and are
//! gone when *any* descriptor of that file is closed, are not touched by it. The caller must not
//! close another descriptor of the file while the library has it open.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::companions::open_plain;
use crate::monitor::Monitor;
use crate::sources::process::fail_if_cancelled;

/// First byte of the locks: `PENDING_BYTE` of SQLite's file format. A writer that waits for readers
/// holds it, so that new readers wait for the writer.
const PENDING: libc::off_t = 0x4000_0000;
/// First byte that readers lock.
const SHARED: libc::off_t = PENDING + 2;
/// Number of bytes that readers lock.
const SHARED_LEN: libc::off_t = 510;
/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// Locks of an open file, where the system has them. Elsewhere they are the process's.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SET_LOCK: libc::c_int = libc::F_OFD_SETLK;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SET_LOCK: libc::c_int = libc::F_SETLK;

/// A database whose shared lock is held. Dropping it releases the lock.
pub(super) struct SharedLock {
    file: File,
}

impl SharedLock {
    /// Opens a database and locks it; waits at most for `patience` while another program writes.
    pub(super) fn take(path: &Path, patience: Duration, monitor: &Monitor) -> io::Result<Self> {
        let file = open_plain(path)?;
        let begun = Instant::now();
        while !try_lock(&file)? {
            fail_if_cancelled(monitor)?;
            if begun.elapsed() >= patience {
                return Err(io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    format!(
                        "another program has locked it for {} s; if it never lets go (SQLite's \
                         `locking_mode = EXCLUSIVE`), stop it during the backup (keys `before` and \
                         `after`, or `stop` for a container)",
                        patience.as_secs()
                    ),
                ));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(Self { file })
    }

    /// Returns the file of the database.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Returns whether the database is still the file at `path`, and was not replaced.
    pub(super) fn is_at(&self, path: &Path) -> io::Result<bool> {
        let (held, there) = (self.file.metadata()?, std::fs::metadata(path)?);
        Ok((held.dev(), held.ino()) == (there.dev(), there.ino()))
    }
}

/// Takes the lock in the order in which SQLite takes it; false if another program prevents it.
fn try_lock(file: &File) -> io::Result<bool> {
    if !set_lock(file, libc::F_RDLCK, PENDING, 1)? {
        return Ok(false);
    }
    let is_locked = set_lock(file, libc::F_RDLCK, SHARED, SHARED_LEN);
    set_lock(file, libc::F_UNLCK, PENDING, 1)?;
    is_locked
}

fn set_lock(
    file: &File,
    kind: libc::c_int,
    start: libc::off_t,
    len: libc::off_t,
) -> io::Result<bool> {
    // SAFETY: the type consists of integers, for which zero is valid.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind.try_into().expect("the kinds of locks are small numbers");
    lock.l_whence = libc::SEEK_SET.try_into().expect("a small number");
    (lock.l_start, lock.l_len) = (start, len);
    // SAFETY: the descriptor is open, and the call reads the lock that is passed.
    if unsafe { libc::fcntl(file.as_raw_fd(), SET_LOCK, &raw const lock) } == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        Some(libc::EINTR) => Ok(false),
        _ => Err(error),
    }
}
