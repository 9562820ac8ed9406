//! Folder of small files that survive a power cut.
//!
//! A trait, so that a simulation can die between any two of its steps.

use std::any::Any;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use rustix::fs::{FlockOperation, OFlags, flock};

/// Most bytes of a file.
pub(super) const FILE_MAX_BYTES: usize = 64 << 10;
/// Ending of a file that is not whole.
pub(super) const SCRATCH: &str = ".new";
/// File whose lock the one process holds that delivers.
const LOCK: &str = "lock";

/// A folder of small files. Each change is durable when its call returns, and at any death either
/// made or not.
pub trait Folder {
    /// Returns the names of all files. A folder that does not exist has none.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Returns the content of a file.
    ///
    /// Fails with [`io::ErrorKind::InvalidData`] if it is no plain file of at most 64 KiB.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Writes a whole file, which may exist. Its name with `.new` is used on the way.
    fn write(&self, name: &str, content: &[u8]) -> io::Result<()>;
    /// Renames a file; one of the new name is replaced.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file, which may be gone already.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Takes the lock of the folder, if no other process has it. Dropping the value or dying
    /// releases it.
    fn lock(&self) -> io::Result<Option<Box<dyn Any>>>;
}

/// A folder of the file system.
#[derive(Clone, Debug)]
pub struct StateFolder {
    path: PathBuf,
}

impl StateFolder {
    /// Returns the folder at a path; the first file that is written makes it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn make(&self) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path)
    }

    fn sync(&self) -> io::Result<()> {
        match File::open(&self.path)?.sync_all() {
            // Some network file systems cannot sync a folder.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            synced => synced,
        }
    }
}

impl Folder for StateFolder {
    fn names(&self) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        // This program writes no other names than text.
        entries
            .filter_map(|entry| entry.map(|e| e.file_name().into_string().ok()).transpose())
            .collect()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let refuse = || io::Error::new(io::ErrorKind::InvalidData, "not a small plain file");
        // Neither a link nor a pipe that nobody writes to may be followed or waited for.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(self.path.join(name));
        let file = file.map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP | libc::ENXIO) => refuse(),
            _ => error,
        })?;
        if !file.metadata()?.is_file() {
            return Err(refuse());
        }
        let mut content = Vec::new();
        file.take(FILE_MAX_BYTES as u64 + 1).read_to_end(&mut content)?;
        if content.len() > FILE_MAX_BYTES { Err(refuse()) } else { Ok(content) }
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.make()?;
        let scratch = self.path.join(format!("{name}{SCRATCH}"));
        // A link that was put there must not lead the content elsewhere.
        remove_any(&scratch)?;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&scratch)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&scratch, self.path.join(name))?;
        self.sync()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))?;
        self.sync()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        remove_any(&self.path.join(name))?;
        self.sync()
    }

    fn lock(&self) -> io::Result<Option<Box<dyn Any>>> {
        self.make()?;
        let flags = OFlags::NOFOLLOW.bits().cast_signed();
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags)
            .open(self.path.join(LOCK))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn remove_any(path: &std::path::Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_whole_and_privately() {
        use std::os::unix::fs::MetadataExt;
        let place = tempfile::tempdir().unwrap();
        let folder = StateFolder::new(place.path().join("a/outbox"));
        assert!(folder.names().unwrap().is_empty());
        folder.write("x", b"1").unwrap();
        // The rest of a death is in the way.
        std::fs::write(folder.path.join("x.new"), "half").unwrap();
        folder.write("x", b"2").unwrap();
        assert_eq!(folder.read("x").unwrap(), b"2");
        assert_eq!(std::fs::metadata(folder.path.join("x")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(&folder.path).unwrap().mode() & 0o777, 0o700);
        folder.rename("x", "y").unwrap();
        assert_eq!(folder.names().unwrap(), ["y"]);
        folder.remove("y").unwrap();
        folder.remove("y").unwrap();
        assert!(folder.names().unwrap().is_empty());
        assert_eq!(folder.read("y").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_no_small_file_is_refused_at_once() {
        let place = tempfile::tempdir().unwrap();
        let folder = StateFolder::new(place.path());
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, place.path().join("fifo"), mode).unwrap();
        std::fs::create_dir(place.path().join("dir")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", place.path().join("link")).unwrap();
        std::fs::write(place.path().join("large"), vec![0; FILE_MAX_BYTES + 1]).unwrap();
        std::fs::write(place.path().join("full"), vec![0; FILE_MAX_BYTES]).unwrap();
        for name in ["fifo", "dir", "link", "large"] {
            let error = folder.read(name).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{name}: {error}");
        }
        assert_eq!(folder.read("full").unwrap().len(), FILE_MAX_BYTES);
        // A link in the place of the scratch file leads nowhere.
        let elsewhere = place.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, place.path().join("z.new")).unwrap();
        folder.write("z", b"z").unwrap();
        assert!(!elsewhere.exists());
    }

    #[test]
    fn one_process_has_the_lock() {
        let place = tempfile::tempdir().unwrap();
        let folder = StateFolder::new(place.path());
        let held = folder.lock().unwrap();
        assert!(held.is_some());
        assert!(folder.lock().unwrap().is_none());
        drop(held);
        assert!(folder.lock().unwrap().is_some());
    }
}
