//! Mapping of file-system errors to store errors.
//!
//! Callers act on the kind: missing, existing, or unreadable while the rest of the store is fine.
//! File systems report these with many codes.
//!
//! Spec: `format-spec/12-store.md`, section 3.

use std::io;

use rustix::io::Errno;

use crate::store::beneath;
use crate::store::{Action, ErrorKind, StoreError};

/// Text about a symbolic link in the path.
const LINK: &str = "a symbolic link is in the way; links inside a repository are not followed: put \
    the folder or file that it leads to in its place, or mount it there";
/// Text about an object that the file system cannot read.
const BAD_MEDIUM: &str = "the disk may have bad sectors, or be about to fail";

/// Returns the store's error for a system error, with a remedy if the cause is known.
pub(super) fn failure(
    action: Action,
    location: &str,
    object: &str,
    error: io::Error,
) -> StoreError {
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

/// Returns whether the error concerns one object only, not the whole store. Includes checksum
/// errors of file systems.
fn is_unreadable(error: &io::Error) -> bool {
    let is_bad = |code| {
        [Errno::IO, Errno::UCLEAN, Errno::BADMSG].iter().any(|errno| errno.raw_os_error() == code)
    };
    matches!(error.kind(), io::ErrorKind::IsADirectory | io::ErrorKind::FileTooLarge)
        || error.raw_os_error().is_some_and(is_bad)
}
