//! Errors that stop a restore.

use std::io;
use std::path::PathBuf;

use crate::repo;
use crate::rules::BadPattern;

/// An error that stopped a restore; the cause is in `source()`.
///
/// A single file that cannot be restored is a problem in the monitor instead, and the restore
/// continues.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository cannot be read.
    #[error(transparent)]
    Repository(#[from] repo::Error),
    /// The snapshot has no entry at the given path.
    #[error("the snapshot has no {path}")]
    NoSuchPath {
        /// The path, for people.
        path: String,
    },
    /// An include or exclude pattern can never match anything.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    /// The target cannot be made or opened.
    #[error("cannot use {path} as the target")]
    Target {
        /// The target.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The target is the repository or its cache, or is inside one of them.
    #[error("{path} is in the repository itself or in its cache")]
    OwnTarget {
        /// The target.
        path: PathBuf,
    },
    /// The file system is full or read-only.
    #[error("cannot write {path}")]
    Write {
        /// Path in the snapshot, for people.
        path: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Some written data did not reach the disk.
    #[error("not everything that was restored to {path} reached the disk")]
    Sync {
        /// The target.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The archive cannot be written.
    #[error("cannot write the archive")]
    Archive {
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A long file is damaged, which was found after its beginning was written. The archive ends
    /// there.
    #[error("{path} is damaged, and its beginning is in the archive already")]
    Torn {
        /// Path in the snapshot, for people.
        path: String,
        /// The damage.
        #[source]
        source: repo::Error,
    },
    /// Threads could not be started.
    #[error("cannot run threads")]
    Threads(#[source] io::Error),
    /// The operation was cancelled.
    #[error("interrupted")]
    Cancelled,
}

/// The result of a restore.
pub type Result<T> = std::result::Result<T, Error>;

/// Explains `AlreadyExists` for a name that did not exist before: the file system takes it for
/// another name, or another process made it.
pub(super) fn same_name(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::AlreadyExists {
        return io::Error::other(
            "something is there that the file system cannot tell from this name, or that was made \
                meanwhile",
        );
    }
    error
}
