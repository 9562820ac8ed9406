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
use super::files::{Files, MountOptions, MountSource};
use super::kernel::Kernel;
use crate::repo::Reader;

/// Where the kernel offers FUSE.
const DEVICE: &str = "/dev/fuse";
/// The program that mounts for users who are not root.
const HELPER: &str = "fusermount3";
/// Requests that are answered at the same time; most threads wait for the store or for nothing.
const THREADS: usize = 16;
/// How often it is checked whether the mount has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What the mount is called in the system's list of mounts.
const NAME: &str = "drumlin";

/// A mounted repository. When it is dropped the mount stays, and its users get errors:
/// unmount it first.
pub struct Mounted {
    dir: PathBuf,
    // Dropping the session would unmount the folder once more, which by then may be another
    // program's mount.
    session: ManuallyDrop<BackgroundSession>,
    device: OwnedFd,
    files: Arc<Files>,
    /// Variables that the helper does not get.
    without: &'static [&'static str],
}

/// How unmounting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing is left of the mount.
    Unmounted,
    /// The folder is free, but programs still use files of the mount: they get errors when this
    /// process ends.
    StillUsed,
}

/// Finds out whether a mount at `dir` is possible, before a repository is opened.
///
/// Fails if the system has no FUSE for this user, and if the folder is not there, not empty or a
/// mount already.
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

/// Mounts what is to be shown at the folder `dir`, and returns when it can be used.
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
        // The helper ends its words with an empty line.
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
        // Nobody else would take it away; the error that led here is the one to report.
        let _ = mounted.unmount();
        return Err(error);
    }
    Ok(mounted)
}

/// Starts a thread that tells the kernel of names that are no longer there, as long as `files` is.
///
/// Otherwise it would keep all that it ever saw of forgotten snapshots, and we their numbers, until
/// memory is short. Threads that answer the kernel must not do it, because the kernel may hold the
/// folder of that name until it has the answer.
fn drop_vanished(files: &Files, notifier: Notifier) -> Result<(), Error> {
    let Some(vanished) = files.vanished() else { return Ok(()) };
    let tell = move || {
        for (folder, name) in vanished {
            // It fails for names that the kernel does not know.
            let _ = notifier.inval_entry(INodeNo(folder), name.as_ref());
        }
    };
    std::thread::Builder::new().name("vanished".to_owned()).spawn(tell).map_err(Error::Session)?;
    Ok(())
}

impl Mounted {
    /// Returns whether a program asked for what cannot be read because the repository is damaged.
    pub fn has_met_damage(&self) -> bool {
        self.files.report.has_met_damage()
    }

    /// Returns the folder, absolute.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns how many snapshots are shown; `None` if one path of one is.
    pub fn snapshot_count(&self) -> Option<usize> {
        self.files.views().map(|views| views.snapshots().len())
    }

    /// Waits until the directory is unmounted or `stop` says so; returns whether it has been
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

    /// Waits for the last user of the mount, but no longer than `patience` and not when `stop` says
    /// so.
    pub fn wait_for_users(&self, patience: Duration, stop: &dyn Fn() -> bool) {
        let began = Instant::now();
        self.wait(&|| stop() || began.elapsed() >= patience);
    }

    /// Unmounts the folder; if files of it are in use, the folder is freed all the same.
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
