//! Errors of browsing.

use crate::repo;

/// Errors of browsing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The snapshot has no such path.
    #[error("there is no '{path}' in snapshot {snapshot}")]
    NoSuchPath {
        /// The path, lossy.
        path: String,
        /// The short id of the snapshot.
        snapshot: String,
    },
    /// Only regular files and symbolic links have content to write.
    #[error("'{path}' is a {kind}, not a file")]
    NotAFile {
        /// The path, lossy.
        path: String,
        /// Its kind.
        kind: &'static str,
    },
    /// A pattern is invalid.
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
    /// The output failed.
    #[error("cannot write the content of '{path}'")]
    Output {
        /// The path, lossy.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}
