//! Errors of the unpacker.

use std::io;

use crate::text::printable;

/// Why a stream was refused. Nothing of a refused stream may be committed.
#[derive(Debug, thiserror::Error)]
pub enum MbstreamError {
    /// The bytes break a rule of the format: another program made them, or they were damaged.
    #[error("the stream of mariadb-backup is damaged at byte {at}: {why}")]
    Damaged {
        /// Position of the chunk in the stream.
        at: u64,
        /// The rule that is broken.
        why: String,
    },
    /// The stream ended before the backup did.
    #[error("the stream of mariadb-backup is not complete: {why}")]
    Incomplete {
        /// The part that is missing.
        why: String,
    },
    /// The stream holds another kind of backup than a whole and plain one.
    #[error("this is not a whole and plain backup of mariadb-backup: {what}; {remedy}")]
    Unsuitable {
        /// The difference.
        what: String,
        /// The change of the configuration that helps.
        remedy: &'static str,
    },
    /// The server changed a file in a way that a stream cannot follow; the next backup can succeed.
    #[error("{path} {change} while it was backed up, which a stream cannot follow; try again")]
    ChangedMeanwhile {
        /// The file, printable.
        path: String,
        /// The change.
        change: &'static str,
    },
    /// The receiver of the files failed.
    #[error("cannot store the files of mariadb-backup")]
    Sink(#[from] io::Error),
}

impl MbstreamError {
    /// Returns whether the same command may succeed in some minutes, without any change.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::ChangedMeanwhile { .. })
    }

    /// Builds the error for a part that is missing.
    pub(super) fn incomplete(why: impl Into<String>) -> Self {
        Self::Incomplete { why: why.into() }
    }

    /// Builds the error for a backup of another kind.
    pub(super) fn unsuitable(what: impl Into<String>, remedy: &'static str) -> Self {
        Self::Unsuitable { what: what.into(), remedy }
    }

    /// Builds the error for a file that changed too much.
    pub(super) fn changed_meanwhile(path: &[u8], change: &'static str) -> Self {
        Self::ChangedMeanwhile { path: printable(path), change }
    }
}
