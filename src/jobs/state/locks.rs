//! Locks of the state directory: a file, locked as a whole.
//!
//! The kernel releases a lock when its holder dies, so a lock that is held proves a live process.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A lock, held until it is dropped.
pub struct StateLock {
    _file: File,
}

/// How long a lock that is held is asked for: those who look at a state hold it for a moment.
const LOOK_MAX: Duration = Duration::from_millis(500);
/// Time between two tries.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

impl StateLock {
    /// Takes the lock of this file, which is made; `None` if another process holds it for longer
    /// than a moment.
    pub(super) fn take_soon(path: &Path) -> io::Result<Option<Self>> {
        let asked = Instant::now();
        loop {
            match Self::take(path)? {
                None if asked.elapsed() < LOOK_MAX => std::thread::sleep(LOOK_INTERVAL),
                lock => return Ok(lock),
            }
        }
    }

    /// Takes the lock of this file, which is made; `None` if another process holds it.
    pub(super) fn take(path: &Path) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Returns whether a process holds the lock of this file.
pub(super) fn is_held(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}
