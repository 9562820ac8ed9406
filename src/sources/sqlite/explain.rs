//! Errors of the library, and what to do about them.

use std::io;

use rusqlite::ErrorCode;

/// Turns an error of the library into one that says what to do.
pub(super) fn explain(error: rusqlite::Error) -> io::Error {
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => "it is not an SQLite database, or it is encrypted",
        Some(ErrorCode::DatabaseCorrupt) => {
            "the database is damaged: `PRAGMA integrity_check` says where; bring back an older copy"
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            "the database, its `-wal` and its `-shm` must be readable for this user"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            let busy = "another program has locked the database for a minute";
            let busy = Explained { advice: busy, error };
            return io::Error::new(io::ErrorKind::ResourceBusy, busy);
        }
        Some(ErrorCode::FileLockingProtocolFailed) => {
            "the file system has no locks, or another program held one for too long"
        }
        _ => return io::Error::other(error),
    };
    io::Error::other(Explained { advice, error })
}

/// An error with advice.
#[derive(Debug, thiserror::Error)]
#[error("{advice}")]
struct Explained {
    advice: &'static str,
    #[source]
    error: rusqlite::Error,
}
