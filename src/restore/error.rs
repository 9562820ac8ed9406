//! Why a restore stopped.

use std::io;
use std::path::PathBuf;

use crate::repo;
use crate::rules::BadPattern;

/// A restore that could not go on; the cause is in `source()`.
///
/// Single files that could not be restored are problems in the monitor instead, and the restore
/// goes on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository cannot be read.
    #[error(transparent)]
    Repository(#[from] repo::Error),
    /// The snapshot has nothing at the given path.
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
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The target is, or lies in, a folder of the program itself.
    #[error("{path} is in the repository itself or in its cache")]
    OwnTarget {
        /// The target.
        path: PathBuf,
    },
    /// Nothing more can be written: the disk is full or read-only.
    #[error("cannot write {path}")]
    Write {
        /// Path in the snapshot, for people.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What was written did not all reach the disk.
    #[error("not everything that was restored to {path} reached the disk")]
    Sync {
        /// The target.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Nothing more can be written to an archive.
    #[error("cannot write the archive")]
    Archive {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A long file turned out to be damaged when its beginning was in the archive, so the archive
    /// ends there.
    #[error("{path} is damaged, and its beginning is in the archive already")]
    Torn {
        /// Path in the snapshot, for people.
        path: String,
        /// What is wrong.
        #[source]
        source: repo::Error,
    },
    /// Threads could not be started.
    #[error("cannot run threads")]
    Threads(#[source] io::Error),
    /// The operation was asked to stop.
    #[error("interrupted")]
    Cancelled,
}

/// The result of a restore.
pub type Result<T> = std::result::Result<T, Error>;

/// Says what it means that a name is there where nothing was.
pub fn same_name(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::AlreadyExists {
        return io::Error::other(
            "something is there that the file system cannot tell from this name, or that was made \
                meanwhile",
        );
    }
    error
}
