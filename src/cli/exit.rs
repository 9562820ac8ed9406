//! Exit codes of the program.
//!
//! An error has the code that [`exit_of`] or its `From<…> for Failure` in `failure.rs` gives it. A
//! command that ran to its end chooses its code itself, by what it found.

use std::process::ExitCode;

use crate::connect::hints::is_of_another_version;
use crate::repo;
use crate::store::ErrorKind;

/// Exit codes, documented for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Error = 1,
    /// Wrong command line or configuration.
    Usage = 2,
    /// Done, but some source files could not be read.
    Unreadable = 3,
    /// A check found damage.
    Damage = 4,
    /// The repository was rolled back, or is another one.
    RolledBack = 5,
    /// There is no repository.
    NoRepository = 10,
    /// Another run of the app is under way.
    Locked = 11,
    /// Wrong password or key.
    WrongSecret = 12,
    /// The key or the store's credential does not permit it.
    NotPermitted = 13,
    /// Stopped by the user.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Returns the exit code of a repository's error.
pub(super) fn exit_of(error: &repo::Error) -> Exit {
    match error {
        repo::Error::NoRepository { .. } => Exit::NoRepository,
        repo::Error::WrongSecret { .. } => Exit::WrongSecret,
        repo::Error::RolledBack { .. }
        | repo::Error::Unjustified { .. }
        | repo::Error::AnotherRepository { .. } => Exit::RolledBack,
        repo::Error::TooManyKeys { .. } => Exit::WrongSecret,
        // Made by a later version, or removed by another process at the same time: no damage.
        repo::Error::Malformed { object, .. } if object.starts_with("config/") => Exit::Error,
        error if is_of_another_version(error) => Exit::Error,
        repo::Error::Swept { .. } => Exit::Error,
        error if error.is_damage() => Exit::Damage,
        repo::Error::Cancelled => Exit::Interrupted,
        repo::Error::Store(error) if error.kind == ErrorKind::NotPermitted => Exit::NotPermitted,
        _ => Exit::Error,
    }
}
