//! Patience with runs that ended and are due as before: their state could not be written, or their
//! process could not begin.
//!
//! Without it such a run would begin again at each look: every half minute a whole backup.

use std::collections::BTreeMap;
use std::time::Duration;

/// The first wait, and the longest. Each is twice the one before.
const WAIT_MIN: Duration = Duration::from_secs(60);
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// The runs that ended, by name.
#[derive(Clone, Debug, Default)]
pub struct Patience {
    ended: BTreeMap<String, Ended>,
}

#[derive(Clone, Debug)]
struct Ended {
    slot_s: Option<i64>,
    attempt: u32,
    wait: Duration,
    again_at: Duration,
}

impl Patience {
    /// Notes the end of an attempt at a slot, at `elapsed` of a clock that only goes on.
    pub fn note_end(&mut self, name: &str, slot_s: Option<i64>, attempt: u32, elapsed: Duration) {
        let is_same = |ended: &&Ended| (ended.slot_s, ended.attempt) == (slot_s, attempt);
        let wait = match self.ended.get(name).filter(is_same) {
            Some(ended) => (ended.wait * 2).min(WAIT_MAX),
            None => WAIT_MIN,
        };
        let ended = Ended { slot_s, attempt, wait, again_at: elapsed + wait };
        self.ended.insert(name.to_owned(), ended);
    }

    /// Returns whether an attempt at a slot may begin.
    pub fn may_begin(
        &self,
        name: &str,
        slot_s: Option<i64>,
        attempt: u32,
        elapsed: Duration,
    ) -> bool {
        self.ended.get(name).is_none_or(|ended| {
            (ended.slot_s, ended.attempt) != (slot_s, attempt) || elapsed >= ended.again_at
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_as_before_waits_longer_each_time() {
        let s = Duration::from_secs;
        let mut patience = Patience::default();
        assert!(patience.may_begin("wiki", Some(7), 1, s(0)));
        patience.note_end("wiki", Some(7), 1, s(0));
        assert!(!patience.may_begin("wiki", Some(7), 1, s(59)));
        assert!(patience.may_begin("wiki", Some(7), 2, s(1)), "the next attempt");
        assert!(patience.may_begin("wiki", Some(8), 1, s(1)), "the next slot");
        assert!(patience.may_begin("shop", Some(7), 1, s(1)));
        assert!(patience.may_begin("wiki", Some(7), 1, s(60)));
        patience.note_end("wiki", Some(7), 1, s(60));
        assert!(!patience.may_begin("wiki", Some(7), 1, s(179)));
        for _ in 0..9 {
            patience.note_end("wiki", Some(7), 1, s(180));
        }
        assert!(patience.may_begin("wiki", Some(7), 1, s(180 + 3_600)));
    }
}
