//! Slots that are still to be run: the question that a run asks under its lock.

use super::record::AppState;

impl AppState {
    /// Returns whether an attempt at a slot is still to be made: between the decision and the lock
    /// another process may have made it.
    pub fn wants(&self, slot_s: i64, attempt: u32) -> bool {
        if attempt <= 1 {
            return self.settled_s.is_none_or(|settled_s| settled_s < slot_s);
        }
        // A death that nobody noted yet counts as the attempt that it was.
        let (slot, last) = match (&self.began, &self.last) {
            (Some(began), _) => (began.slot_s, began.attempt),
            (None, Some(last)) => (last.slot, last.attempt),
            (None, None) => return false,
        };
        slot == Some(slot_s) && last + 1 == attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::state::{Began, RunRecord};

    #[test]
    fn an_attempt_is_made_once() {
        let new = AppState::default();
        assert!(new.wants(7, 1) && !new.wants(7, 2));
        let last = RunRecord { slot: Some(7), attempt: 1, ..RunRecord::default() };
        let ran = AppState { settled_s: Some(7), last: Some(last), ..AppState::default() };
        assert!(!ran.wants(7, 1) && ran.wants(8, 1));
        assert!(ran.wants(7, 2) && !ran.wants(7, 3) && !ran.wants(6, 2));
        let began = Some(Began { slot_s: Some(7), attempt: 2, ..Began::default() });
        assert!(AppState { began, ..ran }.wants(7, 3));
    }
}
