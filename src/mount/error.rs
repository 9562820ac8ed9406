//! Errors of mounting.

use std::io;
use std::path::PathBuf;

use crate::repo;

/// Errors of mounting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system has no FUSE.
    #[error("this system has no /dev/fuse")]
    NoDevice,
    /// This user may not use FUSE.
    #[error("/dev/fuse cannot be opened")]
    ClosedDevice(#[source] io::Error),
    /// Users other than root need a helper program.
    #[error("the program fusermount3 is missing")]
    NoHelper,
    /// The system's configuration forbids access of other users.
    #[error("only root may let other users in: /etc/fuse.conf has no `user_allow_other`")]
    OthersNotAllowed,
    /// The mount point cannot be used.
    #[error("cannot mount at {path}: {why}", path = path.display())]
    MountPoint {
        /// The mount point.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// The mount point cannot be inspected.
    #[error("cannot access {path}", path = path.display())]
    Inspect {
        /// The mount point.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The mount point holds the mount of a killed program.
    #[error(
        "{path} is still mounted, but the program that served it has ended",
        path = path.display()
    )]
    Stale {
        /// The mount point.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot mount at {path}", path = path.display())]
    Mount {
        /// The mount point.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The system refused to unmount.
    #[error("cannot unmount {path}", path = path.display())]
    Unmount {
        /// The mount point.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// Only directories can be mounted.
    #[error("'{path}' is not a folder")]
    NotADir {
        /// The path in the snapshot.
        path: String,
    },
    /// The FUSE session failed.
    #[error("the kernel ended the mount")]
    Session(#[source] io::Error),
    /// An error of the repository.
    #[error(transparent)]
    Repository(#[from] repo::Error),
    /// An error about a path in the snapshot.
    #[error(transparent)]
    Browse(#[from] crate::browse::Error),
}
