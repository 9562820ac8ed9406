//! Runs that died: they began, and nothing holds their lock.

use super::parts::RunStatus;
use super::record::{AppState, RunRecord};

/// The error of a run that died.
const DIED: &str = "it died: it was killed, or the machine stopped";

/// Turns a run that began and has not ended into a failed one, which may be tried again. Returns
/// its report, for the history; `None` if there is none.
///
/// The caller holds the app's lock, so no run is under way, and writes the state.
pub fn settle_death(app: &str, state: &mut AppState) -> Option<RunRecord> {
    let began = state.began.take()?;
    let lost = RunRecord {
        app: app.to_owned(),
        run: began.run,
        slot: began.slot_s,
        attempt: began.attempt.max(1),
        status: RunStatus::Failed,
        started: began.at_s,
        // Nobody saw its end. The time until the next attempt counts from its beginning: a machine
        // that starts again after hours does not wait.
        ended: began.at_s,
        error: Some(DIED.to_owned()),
        is_transient: true,
        ..RunRecord::default()
    };
    state.failures += 1;
    state.counters.count_death();
    state.untold.add_run(&lost);
    state.last = Some(lost.clone());
    Some(lost)
}

/// Returns whether a report is that of a run that died.
pub fn is_death(record: &RunRecord) -> bool {
    record.status == RunStatus::Failed && record.error.as_deref() == Some(DIED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::state::Began;

    #[test]
    fn a_death_is_a_failure_of_its_slot_that_may_pass() {
        let mut state = AppState::default();
        assert_eq!(settle_death("wiki", &mut state), None);
        let began = Began { slot_s: Some(7), attempt: 2, at_s: 9, ..Began::default() };
        state.began = Some(began);
        let lost = settle_death("wiki", &mut state).unwrap();
        assert_eq!((lost.slot, lost.attempt, lost.is_transient), (Some(7), 2, true));
        assert!(is_death(&lost) && state.last == Some(lost) && state.began.is_none());
        assert_eq!((state.failures, state.untold.runs.len()), (1, 1));
        assert_eq!(state.counters.runs["failed"], 1);
        assert_eq!(settle_death("wiki", &mut state), None, "it is counted once");
    }
}
