//! Errors of mounting.

use std::io;
use std::path::PathBuf;

use crate::repo;

/// Errors of mounting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system offers no FUSE.
    #[error("this system has no /dev/fuse")]
    NoDevice,
    /// The system offers FUSE, but not to this user.
    #[error("/dev/fuse cannot be opened")]
    ClosedDevice(#[source] io::Error),
    /// A user who is not root needs a program that mounts.
    #[error("the program fusermount3 is not there")]
    NoHelper,
    /// Other users are allowed in by the system's configuration only.
    #[error("only root may let other users in: /etc/fuse.conf has no `user_allow_other`")]
    OthersNotAllowed,
    /// The folder to mount at cannot be used.
    #[error("cannot mount at {path}: {why}", path = path.display())]
    MountPoint {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The folder to mount at cannot be looked at.
    #[error("cannot look at {path}", path = path.display())]
    Inspect {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A killed program left its mount.
    #[error("{path} is a mount whose program has ended", path = path.display())]
    Stale {
        /// The folder.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot mount at {path}", path = path.display())]
    Mount {
        /// The folder.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The system refused to take the mount away.
    #[error("cannot unmount {path}", path = path.display())]
    Unmount {
        /// The folder.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// Only folders can be mounted.
    #[error("'{path}' is not a folder")]
    NotADir {
        /// The path in the snapshot.
        path: String,
    },
    /// Speaking with the kernel ended in an error.
    #[error("the kernel ended the mount")]
    Session(#[source] io::Error),
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] repo::Error),
    /// A path in the snapshot.
    #[error(transparent)]
    Browse(#[from] crate::browse::Error),
}
