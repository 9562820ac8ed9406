//! Atomic creation: a file gets its bytes first and its name last.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

/// Prefix of the names of scratch files.
const SCRATCH_PREFIX: &str = ".new-";
/// For the owner only: a copy of the repository may end up in a directory that is not private.
const OBJECT_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// Scratch files without a lock are removed when they are older than this.
const SCRATCH_AGE_MIN: Duration = Duration::from_secs(24 * 3600);

/// Writes files that appear whole or not at all; remembers what the file system supports.
#[derive(Default)]
pub(super) struct LocalPublisher {
    /// The file system has no unnamed files (`O_TMPFILE`), or `/proc`, which is needed to name
    /// them, is missing.
    named_only: AtomicBool,
    /// The file system can neither rename without replacing nor link: names were checked and then
    /// taken.
    replaces: AtomicBool,
    /// Leftovers were removed once.
    swept: AtomicBool,
    counter: AtomicU64,
}

impl LocalPublisher {
    /// Writes a new file `name` in `folder`. Its bytes are durable before it has its name.
    ///
    /// Fails with `AlreadyExists` if the name is taken, which is never touched. The *name* is
    /// durable only after the caller's fsync of the directory. Dying at any moment leaves nothing,
    /// a scratch file (only if the file system has no unnamed files), or the whole file.
    pub(super) fn publish(&self, folder: &File, name: &str, bytes: &[u8]) -> io::Result<()> {
        if !self.named_only.load(Ordering::Relaxed) {
            match publish_unnamed(folder, name, bytes) {
                Err(Unnamed::Unsupported) => self.named_only.store(true, Ordering::Relaxed),
                Err(Unnamed::Failed(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
        self.publish_scratch(folder, name, bytes)
    }

    /// Returns whether names are given in a way that lets several creators of one name succeed.
    pub(super) fn replaces(&self) -> bool {
        self.replaces.load(Ordering::Relaxed)
    }

    fn publish_scratch(&self, folder: &File, name: &str, bytes: &[u8]) -> io::Result<()> {
        if !self.swept.swap(true, Ordering::Relaxed) {
            // Leftovers only take space, so failing to remove them is no failure.
            let _ = sweep(folder);
        }
        let (mut file, scratch) = self.open_scratch(folder)?;
        // Closed before it is renamed: some mounted stores send the file only then, and report
        // errors only then.
        let written = write_durably(&mut file, bytes).and_then(|()| Ok(nix::unistd::close(file)?));
        let result = written.and_then(|()| self.give_name(folder, &scratch, name));
        if result.is_err() {
            let _ = rustix::fs::unlinkat(folder, &scratch, AtFlags::empty());
        }
        result
    }

    /// Renames without replacing. If the file system cannot do that, makes a second link. If it has
    /// no links either, checks whether the name is free and renames, which is a race with other
    /// creators.
    fn give_name(&self, folder: &File, scratch: &str, name: &str) -> io::Result<()> {
        match rustix::fs::renameat_with(folder, scratch, folder, name, RenameFlags::NOREPLACE) {
            Err(errno) if is_lacking(errno) => {}
            other => return Ok(other?),
        }
        match rustix::fs::linkat(folder, scratch, folder, name, AtFlags::empty()) {
            Err(errno) if is_lacking(errno) => {}
            Err(errno) => return Err(errno.into()),
            Ok(()) => {
                // Dying here leaves a second name, which listings ignore and the next sweep
                // removes.
                let _ = rustix::fs::unlinkat(folder, scratch, AtFlags::empty());
                return Ok(());
            }
        }
        match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => return Err(Errno::EXIST.into()),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        rustix::fs::renameat(folder, scratch, folder, name)?;
        self.replaces.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Opens a scratch file and locks it while it is open, so that others see that it is in use.
    fn open_scratch(&self, folder: &File) -> io::Result<(File, String)> {
        let process = std::process::id();
        let nanos = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos());
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let scratch = format!("{SCRATCH_PREFIX}{process}-{nanos}-{number}");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(folder, &scratch, flags, OBJECT_MODE)?);
        // Without locks, only its age protects the file from a sweep.
        let _ = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        Ok((file, scratch))
    }
}

/// Why an unnamed file could not be published.
enum Unnamed {
    Unsupported,
    Failed(io::Error),
}

impl From<io::Error> for Unnamed {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Writes a file without a name and links it. It leaves nothing behind if the process dies.
fn publish_unnamed(folder: &File, name: &str, bytes: &[u8]) -> Result<(), Unnamed> {
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let mut file = match rustix::fs::openat(folder, ".", flags, OBJECT_MODE) {
        Ok(fd) => File::from(fd),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {
            return Err(Unnamed::Unsupported);
        }
        Err(errno) => return Err(Unnamed::Failed(errno.into())),
    };
    write_durably(&mut file, bytes)?;
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    match rustix::fs::linkat(CWD, &unnamed, folder, name, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => Err(Unnamed::Failed(Errno::EXIST.into())),
        Err(Errno::NOSPC | Errno::DQUOT) => Err(Unnamed::Failed(Errno::NOSPC.into())),
        Err(_) => Err(Unnamed::Unsupported),
    }
}

/// A failed fdatasync means that the bytes are lost; it is never repeated, because the kernel
/// reports it only once.
fn write_durably(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    match rustix::fs::fdatasync(file) {
        // Some mounted stores cannot sync: there the server is responsible.
        Ok(()) | Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Returns whether an error may mean that the file system lacks the operation: some report it as
/// not permitted.
fn is_lacking(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS | Errno::MLINK
    )
}

/// Removes scratch files of dead processes: old ones without a lock.
fn sweep(folder: &File) -> io::Result<()> {
    for found in rustix::fs::Dir::read_from(folder)? {
        let found = found?;
        if !found.file_name().to_str().is_ok_and(is_scratch) {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) =
            rustix::fs::openat(folder, found.file_name(), flags, Mode::empty()).map(File::from)
        else {
            continue;
        };
        let old = file.metadata()?.modified()?.elapsed().is_ok_and(|age| age > SCRATCH_AGE_MIN);
        if old && rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            rustix::fs::unlinkat(folder, found.file_name(), AtFlags::empty())?;
        }
    }
    Ok(())
}

/// Returns whether a name is one that [`LocalPublisher::open_scratch`] gives.
fn is_scratch(name: &str) -> bool {
    let numbers = name.strip_prefix(SCRATCH_PREFIX);
    numbers.is_some_and(|numbers| {
        numbers.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') && !numbers.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// The fallback (named scratch file) keeps the same promises: whole, never replacing, nothing
    /// left behind.
    #[test]
    fn scratch_files_become_objects_or_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = File::open(dir.path()).unwrap();
        let publisher =
            LocalPublisher { named_only: AtomicBool::new(true), ..LocalPublisher::default() };
        publisher.publish(&folder, "a", b"first").unwrap();
        let error = publisher.publish(&folder, "a", b"second").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"first");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    /// Only scratch files that are old and not locked are removed; other names are nobody's
    /// business.
    #[test]
    fn sweep_spares_the_living() {
        let dir = tempfile::tempdir().unwrap();
        let folder = File::open(dir.path()).unwrap();
        let day_before_yesterday = SystemTime::now() - 2 * SCRATCH_AGE_MIN;
        let make = |name: &str, old: bool| {
            let file = File::create(dir.path().join(name)).unwrap();
            if old {
                file.set_modified(day_before_yesterday).unwrap();
            }
            file
        };
        let held = make(".new-1-2-0", true);
        rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        make(".new-2-3-0", false);
        make(".new-3-4-0", true);
        make("object", true);
        make(".new-letter.odt", true);
        sweep(&folder).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".new-1-2-0", ".new-2-3-0", ".new-letter.odt", "object"]);
    }
}
