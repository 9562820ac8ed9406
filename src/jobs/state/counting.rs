//! Counting of runs: what their beginning and their end mean for the counters.

use super::counters::{Counters, SourceTotals};
use super::death::is_death;
use super::parts::RunStatus;
use super::record::{AppState, RunRecord};

impl RunRecord {
    /// Returns whether this run failed and its slot will be tried again.
    fn will_be_repeated(&self, retries: u32) -> bool {
        self.status == RunStatus::Failed
            && self.is_transient
            && self.slot.is_some()
            && self.attempt <= retries
    }
}

impl AppState {
    /// Counts what the beginning of a run decides about the run before it.
    ///
    /// A slot that would have been tried again is given up when another run begins. `retries` are
    /// the attempts after the first.
    pub fn count_begin(&mut self, record: &RunRecord, retries: u32) {
        self.counters.known_since_s.get_or_insert(record.started);
        let Some(last) = &self.last else { return };
        let may_be_repeated = last.will_be_repeated(retries) || is_death(last);
        if may_be_repeated && (last.slot.is_none() || last.slot != record.slot) {
            self.counters.given_up += 1;
        }
    }
}

impl Counters {
    /// Counts a run that has ended. `retries` are the attempts of a slot after the first.
    pub fn count_end(&mut self, record: &RunRecord, retries: u32) {
        self.count_status(record.status);
        for hook in record.failed_hooks() {
            *self.hook_failures.entry(hook.event.clone()).or_default() += 1;
        }
        let repository = self.repositories.entry(record.repository.clone()).or_default();
        repository.requests = repository.requests + record.traffic;
        if let Some(is_reachable) = record.is_reachable {
            (repository.is_reachable, repository.asked_s) = (Some(is_reachable), record.ended);
        }
        repository.snapshots = record.snapshots.or(repository.snapshots);
        match record.status {
            RunStatus::Failed if record.will_be_repeated(retries) => {}
            RunStatus::Failed => self.given_up += 1,
            RunStatus::Skipped => {}
            RunStatus::Done | RunStatus::Unchanged | RunStatus::Partial => {
                repository.added_bytes = Some(record.bytes_added);
                repository.added_bytes_total += record.bytes_added;
                repository.last_snapshot_s = record.snapshot_s.or(repository.last_snapshot_s);
                self.given_up = 0;
                self.source = Some(SourceTotals { bytes: record.bytes, files: record.files });
                self.dumps.clone_from(&record.sources);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::connect::RequestTotals;
    use crate::jobs::state::{Began, HookRecord, SourceRun, settle_death};

    const RETRIES: u32 = 2;

    fn failed(slot: Option<i64>, attempt: u32, is_transient: bool) -> RunRecord {
        RunRecord { slot, attempt, is_transient, ..RunRecord::default() }
    }

    fn good(status: RunStatus) -> RunRecord {
        RunRecord {
            status,
            repository: "box".to_owned(),
            bytes: 7,
            files: 3,
            bytes_added: 5,
            ..RunRecord::default()
        }
    }

    /// Runs one after another; returns how many slots are given up after each.
    fn given_up(runs: &[RunRecord]) -> Vec<u64> {
        let mut state = AppState::default();
        let after = runs.iter().map(|run| {
            state.count_begin(run, RETRIES);
            state.counters.count_end(run, RETRIES);
            state.last = Some(run.clone());
            state.counters.given_up
        });
        after.collect()
    }

    #[test]
    fn a_slot_is_given_up_once_however_often_it_was_tried() {
        let tries = |slot, count| (1..=count).map(move |n| failed(Some(slot), n, true));
        let all: Vec<RunRecord> = tries(1, 3).chain(tries(2, 2)).collect();
        assert_eq!(given_up(&all), [0, 0, 1, 1, 1]);
        // The next slot begins before the last try of one.
        let late: Vec<RunRecord> = tries(1, 2).chain(tries(2, 1)).collect();
        assert_eq!(given_up(&late), [0, 0, 1]);
        let permanent = [failed(Some(1), 1, false), failed(Some(2), 1, false)];
        assert_eq!(given_up(&permanent), [1, 2]);
        // Nobody tries a run again that was started by hand.
        assert_eq!(given_up(&[failed(None, 1, true), good(RunStatus::Skipped)]), [1, 1]);
        assert_eq!(given_up(&[failed(Some(1), 1, true), failed(None, 1, true)]), [0, 2]);
        assert_eq!(given_up(&[failed(Some(1), 1, false), good(RunStatus::Partial)]), [1, 0]);
    }

    #[test]
    fn a_death_counts_as_a_failure() {
        let mut state = AppState::default();
        let next = |slot| RunRecord { slot: Some(slot), started: 9, ..RunRecord::default() };
        let mut die_and_begin = |slot_s, run: &RunRecord| {
            state.began = Some(Began { slot_s, ..Began::default() });
            settle_death("wiki", &mut state).unwrap();
            state.count_begin(run, RETRIES);
            (state.counters.given_up, state.counters.runs["failed"])
        };
        assert_eq!(die_and_begin(Some(1), &next(1)), (0, 1));
        assert_eq!(die_and_begin(Some(1), &next(2)), (1, 2));
        assert_eq!(die_and_begin(None, &RunRecord::default()), (2, 3));
        assert_eq!(state.counters.known_since_s, Some(9));
    }

    #[test]
    fn bytes_requests_and_hooks_are_summed() {
        let mut counters = Counters::default();
        let traffic = RequestTotals { list: 1, bytes_up: 10, ..RequestTotals::default() };
        let hook = |event: &str, code| HookRecord {
            event: event.to_owned(),
            code,
            ..HookRecord::default()
        };
        let done = RunRecord {
            snapshot_s: Some(40),
            snapshots: Some(3),
            traffic,
            is_reachable: Some(true),
            ended: 50,
            hooks: vec![hook("after", Some(3)), hook("after", None), hook("finally", Some(0))],
            sources: vec![SourceRun { rows: Some(2), ..SourceRun::default() }],
            ..good(RunStatus::Done)
        };
        counters.count_end(&done, RETRIES);
        let unchanged =
            RunRecord { bytes_added: 0, traffic, ended: 60, ..good(RunStatus::Unchanged) };
        counters.count_end(&unchanged, RETRIES);
        let away = RunRecord {
            repository: "box".to_owned(),
            is_reachable: Some(false),
            ended: 70,
            ..failed(None, 1, true)
        };
        counters.count_end(&away, RETRIES);
        let repository = &counters.repositories["box"];
        assert_eq!((repository.added_bytes, repository.added_bytes_total), (Some(0), 5));
        assert_eq!((repository.last_snapshot_s, repository.asked_s), (Some(40), 70));
        assert_eq!((repository.is_reachable, repository.snapshots), (Some(false), Some(3)));
        assert_eq!((repository.requests.list, repository.requests.bytes_up), (2, 20));
        assert_eq!(counters.hook_failures, BTreeMap::from([("after".to_owned(), 2)]));
        assert_eq!(counters.source, Some(SourceTotals { bytes: 7, files: 3 }));
        assert!(counters.dumps.is_empty(), "those of the newest good run");
        let text = serde_json::to_string(&counters).unwrap();
        assert_eq!(serde_json::from_str::<Counters>(&text).unwrap(), counters);
    }
}
