//! Runs that the daemon has started.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cli::processes::{Ended, Process};
use crate::cli::schedules::DueRun;
use crate::jobs::daemon::Task;

/// Time between the last request to stop and the kill.
const LAST_CHANCE: Duration = Duration::from_secs(5);

/// A run that is under way.
pub(super) struct Running {
    /// What it excludes.
    pub task: Task,
    /// Its slot.
    pub due: DueRun,
    /// Its process.
    pub process: Process,
}

/// All runs that are under way.
#[derive(Default)]
pub(super) struct AllRunning(pub Vec<Running>);

impl AllRunning {
    /// Returns whether a run of this app is under way.
    pub(super) fn has(&self, app: &str) -> bool {
        self.0.iter().any(|running| running.due.upkeep.is_none() && running.due.app == app)
    }

    /// Returns the names of apps of which a run is under way.
    pub(super) fn apps(&self) -> Vec<String> {
        let runs = self.0.iter().filter(|running| running.due.upkeep.is_none());
        runs.map(|running| running.due.app.clone()).collect()
    }

    /// Returns their tasks.
    pub(super) fn tasks(&self) -> Vec<Task> {
        self.0.iter().map(|running| running.task.clone()).collect()
    }

    /// Returns their process ids.
    pub(super) fn process_ids(&self) -> Vec<u32> {
        self.0.iter().map(|running| running.process.id()).collect()
    }

    /// Returns their names for people.
    pub(super) fn names(&self) -> String {
        let names: Vec<String> = self.0.iter().map(|running| running.due.name()).collect();
        names.join(", ")
    }

    /// Takes out those that ended. A process that cannot be waited for counts as ended, since
    /// nothing will be heard of it.
    pub(super) fn reap(&mut self) -> Vec<(DueRun, Option<Ended>)> {
        let mut ended = Vec::new();
        for at in (0..self.0.len()).rev() {
            match self.0[at].process.ended() {
                Ok(None) => {}
                found => ended.push((self.0.remove(at).due, found.ok().flatten())),
            }
        }
        ended
    }

    /// Sends a signal to all.
    pub(super) fn signal(&self, signal: Signal) {
        self.0.iter().for_each(|running| running.process.signal(signal));
    }
}

/// The end of the daemon, step by step.
///
/// A run that does not stop in time is asked again, which ends it and its programs at once; then it
/// is killed.
pub(super) struct Stop {
    asked: Instant,
    timeout: Duration,
    step: u8,
}

impl Stop {
    /// Asks all runs to stop.
    pub(super) fn begin(running: &AllRunning, timeout: Duration) -> Self {
        running.signal(Signal::TERM);
        Self { asked: Instant::now(), timeout, step: 0 }
    }

    /// Goes on if it is time; returns whether runs had to be ended.
    pub(super) fn go_on(&mut self, running: &AllRunning) -> bool {
        let since = self.asked.elapsed();
        if self.step == 0 && since >= self.timeout {
            self.step = 1;
            running.signal(Signal::TERM);
            return true;
        }
        if self.step == 1 && since >= self.timeout + LAST_CHANCE {
            self.step = 2;
            running.signal(Signal::KILL);
        }
        false
    }
}
