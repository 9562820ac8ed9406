//! Failures that may pass by themselves: what could not be reached may be there in some minutes.

use std::error::Error;
use std::io;

use super::error as jobs;
use crate::sources::process;
use crate::{backup, repo};

/// Exit code of programs for a failure that may pass: the EX_TEMPFAIL of sendmail.
const TEMPORARY_CODE: i32 = 75;

/// Returns whether a run is worth another attempt within its slot.
pub fn may_pass(error: &jobs::Error) -> bool {
    let is_out_of_reach = is_out_of_reach(error);
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(found) = cause.filter(|_| !is_out_of_reach) {
        if found.downcast_ref::<io::Error>().is_some_and(is_passing_io) {
            return true;
        }
        cause = found.source();
    }
    is_out_of_reach
}

/// Returns whether the repository is not there, or does not answer.
pub fn is_out_of_reach(error: &jobs::Error) -> bool {
    let of_repository = |error: &repo::Error| {
        error.is_trouble() || matches!(error, repo::Error::NoRepository { .. })
    };
    match error {
        jobs::Error::Connect(error) => {
            error.is_trouble() || error.repository().is_some_and(of_repository)
        }
        jobs::Error::Backup(backup::Error::Repository(error)) => of_repository(error),
        jobs::Error::Backup(_) => false,
    }
}

fn is_passing_io(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        NetworkDown, NetworkUnreachable, TimedOut, UnexpectedEof,
    };
    let is_of_network = matches!(
        error.kind(),
        BrokenPipe
            | ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | NetworkDown
            | NetworkUnreachable
            | TimedOut
            | UnexpectedEof
    );
    is_of_network || process::exit_code(error) == Some(TEMPORARY_CODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_reached_may_be_there_later() {
        let dump = |kind: io::ErrorKind| {
            let path = "/x".to_owned();
            jobs::Error::Backup(backup::Error::Stream { path, source: kind.into() })
        };
        assert!(may_pass(&dump(io::ErrorKind::ConnectionRefused)));
        assert!(!may_pass(&dump(io::ErrorKind::PermissionDenied)));
        let location = "/mnt/usb".to_owned();
        let away =
            crate::connect::Error::from(repo::Error::NoRepository { location, is_known: true });
        assert!(may_pass(&away.into()));
        assert!(!may_pass(&crate::connect::Error::usage("wrong").into()));
    }
}
