//! Proof of unchanged files by change times (ctime).

use crate::format::entry::Timestamp;

/// Returns the time before which a change time proves that the parent saw the last change.
///
/// Change times come from a coarse clock: a file that changed when the parent began may have
/// changed again within the same tick, so it is read again.
pub(super) fn trust_before(parent_started: Timestamp) -> Timestamp {
    const TICK_NANOS: u32 = 100_000_000;
    match parent_started.nanos.checked_sub(TICK_NANOS) {
        Some(nanos) => Timestamp { nanos, ..parent_started },
        None => Timestamp {
            seconds: parent_started.seconds.saturating_sub(1),
            nanos: parent_started.nanos + 1_000_000_000 - TICK_NANOS,
        },
    }
}

/// How far the clock of a file server may be slow, in seconds.
const SLOW_MAX_S: i64 = 3600;

/// Returns whether a change time earlier than `before` proves that nothing changed since.
///
/// Coarse times (whole seconds, as on FAT) hide changes within two seconds. If the file system
/// `is_trusted`, the time is of this machine's clock. Otherwise it may be of a server whose clock
/// is slow: a change after the parent began may have an earlier time.
pub(super) fn is_settled(ctime: Timestamp, before: Timestamp, is_trusted: bool) -> bool {
    let room_s = match (is_trusted, ctime.nanos) {
        (false, _) => SLOW_MAX_S,
        (true, 0) => 2,
        (true, _) => 0,
    };
    ctime < Timestamp { seconds: before.seconds.saturating_sub(room_s), ..before }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_of_the_beginning_of_time_proves_nothing() {
        let first = Timestamp { seconds: i64::MIN, nanos: 0 };
        assert_eq!(trust_before(first).seconds, i64::MIN);
        assert!([true, false].iter().all(|trusted| !is_settled(
            Timestamp::default(),
            first,
            *trusted
        )));
        assert!([true, false].iter().all(|trusted| !is_settled(first, first, *trusted)));
    }

    #[test]
    fn times_of_other_clocks_settle_late() {
        let at = |seconds, nanos| Timestamp { seconds, nanos };
        let settled = |ctime, is_trusted| is_settled(ctime, at(10_000, 5), is_trusted);
        assert!(settled(at(10_000, 4), true) && !settled(at(10_000, 5), true));
        assert!(settled(at(9_998, 0), true) && !settled(at(9_999, 0), true));
        for nanos in [0, 1] {
            assert!(settled(at(6_400, nanos), false) && !settled(at(6_401, nanos), false));
        }
    }
}
