//! Mounting and unmounting.

use std::fs::OpenOptions;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, INodeNo, MountOption, Notifier, Session, SessionACL};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use super::error::Error;
use super::files::Files;
use super::kernel::Kernel;
use super::options::{MountOptions, MountSource};
use crate::repo::Reader;

/// FUSE device of the kernel.
const DEVICE: &str = "/dev/fuse";
/// Program that mounts for users other than root.
const HELPER: &str = "fusermount3";
/// Threads that answer requests; most of them wait for the store or are idle.
const THREADS: usize = 16;
/// Interval between checks whether the mount has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Name in the system's list of mounts.
const NAME: &str = "drumlin";

/// A mounted repository. Unmount it before dropping it: dropping leaves a mount whose users get
/// errors.
pub struct Mounted {
    dir: PathBuf,
    // Dropping the session would unmount the directory once more, which by then may be another
    // program's mount.
    session: ManuallyDrop<BackgroundSession>,
    device: OwnedFd,
    files: Arc<Files>,
    /// Environment variables that the helper does not get.
    without: &'static [&'static str],
}

/// Result of unmounting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing is left of the mount.
    Unmounted,
    /// The directory is free, but programs still use files of the mount; they get errors when this
    /// process ends.
    StillUsed,
}

/// Checks whether a mount at `dir` is possible, before a repository is opened.
///
/// Fails if this user cannot use FUSE, or if the directory is missing, not empty or a mount
/// already.
pub fn check(dir: &Path) -> Result<PathBuf, Error> {
    let look = |source: io::Error| match source.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOTCONN) => Error::Stale { path: dir.to_owned() },
        _ => Error::Inspect { path: dir.to_owned(), source },
    };
    let refuse = |why| Err(Error::MountPoint { path: dir.to_owned(), why });
    match dir.metadata() {
        Ok(found) if !found.is_dir() => return refuse("it is not a folder"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return refuse("there is no such folder");
        }
        found => found.map_err(look)?,
    };
    if dir.read_dir().map_err(look)?.next().is_some() {
        return refuse("the folder is not empty");
    }
    check_device()?;
    dir.canonicalize().map_err(look)
}

fn check_device() -> Result<(), Error> {
    match OpenOptions::new().read(true).write(true).open(DEVICE) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoDevice),
        Err(error) => Err(Error::ClosedDevice(error)),
    }
}

/// Mounts at the directory `dir`; returns when the mount can be used.
pub fn mount(
    reader: &Arc<Reader>,
    shown: &MountSource,
    dir: &Path,
    options: MountOptions,
) -> Result<Mounted, Error> {
    let dir = check(dir)?;
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::RO,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoAtime,
        MountOption::DefaultPermissions,
        MountOption::FSName(NAME.to_owned()),
    ];
    config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(THREADS);
    let without = options.without;
    let files = Arc::new(Files::new(reader, shown, options)?);
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Error::NoHelper,
        io::ErrorKind::PermissionDenied if config.acl == SessionACL::All => Error::OthersNotAllowed,
        // The helper's message ends with an empty line.
        kind => Error::Mount {
            path: dir.clone(),
            source: io::Error::new(kind, source.to_string().trim().to_owned()),
        },
    };
    let session = Session::new(Kernel::new(files.clone()), &dir, &config).map_err(refused)?;
    let device = session.as_fd().try_clone_to_owned().map_err(Error::Session)?;
    let session = ManuallyDrop::new(session.spawn().map_err(Error::Session)?);
    let mounted = Mounted { dir, session, device, files, without };
    if let Err(error) = drop_vanished(&mounted.files, mounted.session.notifier()) {
        // Without this the mount would stay; the first error is the one to report.
        let _ = mounted.unmount();
        return Err(error);
    }
    Ok(mounted)
}

/// Starts a thread that invalidates the kernel's entries of vanished names, until `files` is
/// dropped.
///
/// Otherwise the kernel would keep entries of forgotten snapshots, and we their inodes, until
/// memory is short. Threads that answer the kernel must not do it: the kernel may lock the
/// directory until it has the answer.
fn drop_vanished(files: &Files, notifier: Notifier) -> Result<(), Error> {
    let Some(vanished) = files.vanished() else { return Ok(()) };
    let tell = move || {
        for (folder, name) in vanished {
            // It fails for names that the kernel has not cached.
            let _ = notifier.inval_entry(INodeNo(folder), name.as_ref());
        }
    };
    std::thread::Builder::new().name("vanished".to_owned()).spawn(tell).map_err(Error::Session)?;
    Ok(())
}

impl Mounted {
    /// Returns whether a read failed because of damage in the repository.
    pub fn has_met_damage(&self) -> bool {
        self.files.report.has_met_damage()
    }

    /// Returns the absolute mount point.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns how many snapshots are shown; `None` if one path of one is.
    pub fn snapshot_count(&self) -> Option<usize> {
        self.files.views().map(|views| views.snapshots().len())
    }

    /// Waits until the directory is unmounted or `stop` returns true; returns whether it was
    /// unmounted.
    pub fn wait(&self, stop: &dyn Fn() -> bool) -> bool {
        while !self.session.guard.is_finished() {
            if stop() {
                return false;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        true
    }

    /// Waits for the last user of the mount, for at most `patience` or until `stop` returns true.
    pub fn wait_for_users(&self, patience: Duration, stop: &dyn Fn() -> bool) {
        let began = Instant::now();
        self.wait(&|| stop() || began.elapsed() >= patience);
    }

    /// Unmounts; if files are in use, detaches the mount.
    pub fn unmount(&self) -> Result<Ended, Error> {
        if !self.is_connected() {
            return Ok(Ended::Unmounted);
        }
        let failed = |source: io::Error| Error::Unmount { path: self.dir.clone(), source };
        match rustix::mount::unmount(&self.dir, UnmountFlags::empty()) {
            // It is unmounted already.
            Ok(()) | Err(Errno::INVAL) => Ok(Ended::Unmounted),
            Err(Errno::PERM) => {
                if run_helper(&["-u", "-q"], &self.dir, self.without).is_ok() {
                    return Ok(Ended::Unmounted);
                }
                run_helper(&["-u", "-z"], &self.dir, self.without).map_err(failed)?;
                Ok(Ended::StillUsed)
            }
            Err(Errno::BUSY) => {
                rustix::mount::unmount(&self.dir, UnmountFlags::DETACH)
                    .map_err(|error| failed(error.into()))?;
                Ok(Ended::StillUsed)
            }
            Err(error) => Err(failed(error.into())),
        }
    }

    /// Returns whether the kernel still has the mount.
    fn is_connected(&self) -> bool {
        let mut device = [PollFd::new(&self.device, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut device, Some(&now)).is_err() || !device[0].revents().contains(PollFlags::ERR)
    }
}

fn run_helper(options: &[&str], dir: &Path, without: &[&str]) -> io::Result<()> {
    let mut helper = Command::new(HELPER);
    for name in without {
        helper.env_remove(name);
    }
    let output = helper.args(options).arg("--").arg(dir).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
