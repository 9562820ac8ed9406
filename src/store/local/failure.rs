//! Meaning of a file system's failures.
//!
//! A caller acts on the kind: what is missing, what exists, what cannot be read while the rest of
//! the store can be. File systems report these with many codes.
//!
//! Spec: `format-spec/12-store.md`, section 3.

use std::io;

use rustix::io::Errno;

use crate::store::beneath;
use crate::store::{Action, ErrorKind, StoreError};

/// What is said of a link in the way.
const LINK: &str = "a symbolic link is in the way, and in a repository none is followed: put what \
    it leads to in its place, \
                    or mount it there";
/// What is said where a file system cannot read an object.
const BAD_MEDIUM: &str = "the disk may have bad sectors, or be about to fail";

/// Returns the error of the store for a failure of the system, with what a user can do where the
/// cause is known.
pub fn failure(action: Action, location: &str, object: &str, error: io::Error) -> StoreError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ErrorKind::NotFound,
        io::ErrorKind::AlreadyExists => ErrorKind::Exists,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ErrorKind::NotPermitted
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
        io::ErrorKind::UnexpectedEof => ErrorKind::Short,
        _ if matches!(action, Action::Read | Action::Stat) && is_unreadable(&error) => {
            ErrorKind::Unreadable
        }
        _ => ErrorKind::Other,
    };
    let error = match kind {
        _ if beneath::is_link(&error) => io::Error::other(LINK),
        ErrorKind::Unreadable if error.raw_os_error().is_some() => {
            io::Error::other(format!("{error}; {BAD_MEDIUM}"))
        }
        _ => error,
    };
    StoreError {
        kind,
        action: action.name(),
        location: location.to_owned(),
        object: object.to_owned(),
        source: error.into(),
    }
}

/// Returns whether it is about the one object that was to be read, and not about the whole store:
/// also what file systems say that find their own checksums wrong.
fn is_unreadable(error: &io::Error) -> bool {
    let is_bad = |code| {
        [Errno::IO, Errno::UCLEAN, Errno::BADMSG].iter().any(|errno| errno.raw_os_error() == code)
    };
    matches!(error.kind(), io::ErrorKind::IsADirectory | io::ErrorKind::FileTooLarge)
        || error.raw_os_error().is_some_and(is_bad)
}
