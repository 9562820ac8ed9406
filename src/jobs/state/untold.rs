//! Events of an app that no message has told yet.
//!
//! They are written with the state that they follow from, by one rename. So a death between the end
//! of a run and its message delays the message, and no other run hides what happened before it.

use super::record::{MissedSlots, RunRecord, Untold};

/// Most runs that wait to be told. The oldest go first: each run tells those before it, so that
/// more wait only while nothing can be written.
const RUNS_MAX: usize = 16;
/// Most problems of a run that are kept for its message.
const PROBLEMS_MAX: usize = 10;

impl Untold {
    /// Adds a run that ended.
    pub fn add_run(&mut self, run: &RunRecord) {
        let mut run = RunRecord { sources: Vec::new(), hooks: Vec::new(), ..run.clone() };
        run.problems.truncate(PROBLEMS_MAX);
        self.runs.push(run);
        self.runs.drain(..self.runs.len().saturating_sub(RUNS_MAX));
    }

    /// Adds slots that passed without a run, up to a moment in seconds since 1970.
    pub fn add_missed(&mut self, slots: u64, until_s: i64) {
        if slots > 0 {
            let before = self.missed.take().map_or(0, |missed| missed.slots);
            self.missed = Some(MissedSlots { until_s, slots: before.saturating_add(slots) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_and_missed_slots_add_up() {
        let mut untold = Untold::default();
        for started in 0..20 {
            untold.add_run(&RunRecord { started, ..RunRecord::default() });
        }
        assert_eq!((untold.runs.len(), untold.runs[0].started), (RUNS_MAX, 4));
        untold.add_missed(0, 5);
        assert_eq!(untold.missed, None);
        untold.add_missed(2, 5);
        untold.add_missed(1, 9);
        assert_eq!(untold.missed, Some(MissedSlots { until_s: 9, slots: 3 }));
    }
}
