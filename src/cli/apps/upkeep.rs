//! Prunes and checks by schedule, as `drumlin apps` shows them.

use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::run::report::rfc3339;
use crate::cli::schedules::Schedules;
use crate::jobs::state::{AppState, RunStatus, StateDir, settle_death};
use crate::jobs::upkeep::Upkeep;

/// What is done with a repository by schedule.
pub(super) struct KnownUpkeep {
    repository: String,
    upkeep: Upkeep,
    state: AppState,
    is_running: bool,
    next_s: Option<i64>,
}

/// It in the document.
#[derive(Serialize)]
pub(super) struct UpkeepView<'a> {
    repository: &'a str,
    command: &'static str,
    status: Option<&'static str>,
    running: bool,
    next: Option<String>,
    started: Option<String>,
    failures: u32,
    error: Option<&'a str>,
}

impl KnownUpkeep {
    /// Reads all that the configuration asks for.
    pub(super) fn read(
        schedules: &Schedules,
        apps: &StateDir,
        now_s: i64,
    ) -> Result<Vec<Self>, Failure> {
        let dir = StateDir::of_repositories(apps.path());
        let mut known = Vec::new();
        for (repository, upkeep, schedule) in schedules.upkeep()? {
            let name = upkeep.state_name(&repository);
            let failed = |error| Failure::file("read", &dir.app_dir(&name), &error);
            let mut state = dir.read(&name).map_err(failed)?;
            let is_running = state.began.is_some() && dir.is_locked(&name).map_err(failed)?;
            if !is_running {
                // One that died; the next look at the schedule writes it.
                settle_death(&name, &mut state);
            }
            let next_s = schedule.next_s(now_s);
            known.push(Self { repository, upkeep, state, is_running, next_s });
        }
        Ok(known)
    }

    /// Returns whether the last one failed, or found damage.
    pub(super) fn is_ill(&self) -> bool {
        self.state.last.as_ref().is_some_and(|last| last.status == RunStatus::Failed)
    }

    /// Returns what is wrong, for people.
    pub(super) fn trouble(&self) -> Option<String> {
        let error = self.state.last.as_ref()?.error.as_deref().filter(|_| self.is_ill())?;
        Some(format!("the last {} of {}: {error}", self.upkeep.command(), self.repository))
    }

    /// Returns its part of the document.
    pub(super) fn view(&self) -> UpkeepView<'_> {
        let last = self.state.last.as_ref();
        UpkeepView {
            repository: &self.repository,
            command: self.upkeep.command(),
            status: last.map(|last| last.status.name()),
            running: self.is_running,
            next: self.next_s.and_then(rfc3339),
            started: last.and_then(|last| rfc3339(last.started)),
            failures: self.state.failures,
            error: last.and_then(|last| last.error.as_deref()),
        }
    }
}
