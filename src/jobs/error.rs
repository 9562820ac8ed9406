//! Errors of jobs.

use crate::{backup, connect};

/// The result of a job.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed job; the causes are in `source()`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration asks for what cannot be done, or the repository cannot be opened.
    #[error(transparent)]
    Connect(#[from] connect::Error),
    /// The backup failed.
    #[error(transparent)]
    Backup(#[from] backup::Error),
}
