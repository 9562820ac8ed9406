//! What change stamps prove.

use crate::format::entry::Timestamp;

/// Returns the time before which a file's change stamp proves that the parent saw its last change.
///
/// Stamps come from a coarse clock: a file that changed right when the parent began may have changed again within one
/// tick, so those are read once more.
pub fn trust_before(parent_started: Timestamp) -> Timestamp {
    const TICK_NANOS: u32 = 100_000_000;
    match parent_started.nanos.checked_sub(TICK_NANOS) {
        Some(nanos) => Timestamp { nanos, ..parent_started },
        None => Timestamp {
            seconds: parent_started.seconds.saturating_sub(1),
            nanos: parent_started.nanos + 1_000_000_000 - TICK_NANOS,
        },
    }
}

/// Returns whether a change stamp from before `before` proves that nothing changed since.
///
/// Coarse stamps (whole seconds, as on FAT) leave two seconds in which a change goes unseen.
pub fn is_settled(ctime: Timestamp, before: Timestamp) -> bool {
    let limit = if ctime.nanos == 0 { Timestamp { seconds: before.seconds.saturating_sub(2), ..before } } else { before };
    ctime < limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_of_the_beginning_of_time_proves_nothing() {
        let first = Timestamp { seconds: i64::MIN, nanos: 0 };
        assert_eq!(trust_before(first).seconds, i64::MIN);
        assert!(!is_settled(Timestamp::default(), first) && !is_settled(first, first));
    }
}
