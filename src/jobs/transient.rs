//! Failures that may pass by themselves: what could not be reached may be there in some minutes.

use std::error::Error;
use std::io;

use super::error as jobs;
use super::state::RunRecord;
use crate::sources::{mysql, process};
use crate::{backup, repo};

/// Exit code of programs for a failure that may pass: the EX_TEMPFAIL of sendmail.
const TEMPORARY_CODE: i32 = 75;

/// Seconds after which a failed attempt is repeated, the last one for all more.
const RETRY_AFTER_S: [i64; 3] = [120, 600, 1_800];
/// Attempts after the first, if nothing else is configured.
pub const RETRY_DEFAULT: u32 = 3;

/// Returns when a run that failed is tried again within its slot, in seconds since 1970; `None` if
/// its slot is given up, or it was no attempt at one.
///
/// `retry` is the number of attempts after the first.
pub fn retry_at_s(last: &RunRecord, retry: Option<u32>) -> Option<i64> {
    let failed = last.attempt.max(1);
    let is_tried = last.slot.is_some() && last.is_transient;
    let wait_s = RETRY_AFTER_S[(failed as usize - 1).min(RETRY_AFTER_S.len() - 1)];
    (is_tried && failed <= retry.unwrap_or(RETRY_DEFAULT)).then_some(last.ended + wait_s)
}

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
        NetworkDown, NetworkUnreachable, NotConnected, ResourceBusy, TimedOut, UnexpectedEof,
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
            | NotConnected
            | ResourceBusy
            | TimedOut
            | UnexpectedEof
    );
    // A cause of the same type is skipped by `source`.
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>());
    is_of_network
        || inner.is_some_and(is_passing_io)
        || process::exit_code(error) == Some(TEMPORARY_CODE)
        || process::was_killed(error)
        // One that was worth trying at once was tried: it may need more time.
        || mysql::Failure::retry_of(error).is_some_and(|retry| retry != mysql::Retry::Never)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_given_up_after_some_attempts() {
        let failed = |attempt, is_transient| RunRecord {
            slot: Some(7),
            ended: 1_000,
            attempt,
            is_transient,
            ..RunRecord::default()
        };
        let waits = [1, 2, 3, 4].map(|attempt| retry_at_s(&failed(attempt, true), None));
        assert_eq!(waits, [Some(1_120), Some(1_600), Some(2_800), None]);
        assert_eq!(retry_at_s(&failed(6, true), Some(9)), Some(2_800));
        assert_eq!(
            (retry_at_s(&failed(1, true), Some(0)), retry_at_s(&failed(1, false), None)),
            (None, None)
        );
        assert_eq!(retry_at_s(&RunRecord { slot: None, ..failed(1, true) }, None), None);
    }

    #[test]
    fn what_was_not_reached_may_be_there_later() {
        let dump = |kind: io::ErrorKind| {
            let path = "/x".to_owned();
            jobs::Error::Backup(backup::Error::Stream { path, source: kind.into() })
        };
        assert!(may_pass(&dump(io::ErrorKind::ConnectionRefused)));
        assert!(may_pass(&dump(io::ErrorKind::NotConnected)));
        assert!(may_pass(&dump(io::ErrorKind::ResourceBusy)));
        assert!(!may_pass(&dump(io::ErrorKind::PermissionDenied)));
        let inner = io::Error::other(io::Error::from(io::ErrorKind::TimedOut));
        let stream = backup::Error::Stream { path: "/x".to_owned(), source: inner };
        assert!(may_pass(&jobs::Error::Backup(stream)));
        let location = "/mnt/usb".to_owned();
        let away =
            crate::connect::Error::from(repo::Error::NoRepository { location, is_known: true });
        assert!(may_pass(&away.into()));
        assert!(!may_pass(&crate::connect::Error::usage("wrong").into()));
    }
}
