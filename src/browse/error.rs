//! Errors of browsing.

use crate::repo;

/// Errors of browsing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The snapshot has no such path.
    #[error("there is no '{path}' in snapshot {snapshot}")]
    NoSuchPath {
        /// The path, as well as it can be shown.
        path: String,
        /// The snapshot, shortened.
        snapshot: String,
    },
    /// Only the content of regular files (and targets of symbolic links) can be streamed.
    #[error("'{path}' is a {kind}, not a file")]
    NotAFile {
        /// The path, as well as it can be shown.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// A pattern is not understood.
    #[error("the pattern '{pattern}' is not understood")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] repo::Error),
    /// The receiver of the bytes failed.
    #[error("cannot write the content of '{path}'")]
    Output {
        /// The path, as well as it can be shown.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}
