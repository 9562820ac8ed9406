//! Upkeep by schedule: `prune` and `check` of repositories.
//!
//! Each is a slot like an app's, with a lock, a state and a history of its own in the state folder.
//! The child process settles it: whatever becomes of the daemon, the next one knows.

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::slot::SlotArgs;
use crate::jobs::state::{AppState, Began, Fault, RunRecord, RunStatus, StateDir, settle_death};
use crate::jobs::upkeep::Upkeep;
use crate::text;

/// Runs a command in its slot; without one it is run as it is.
///
/// A failure that may pass is tried again within the slot.
pub(super) fn in_slot(
    ctx: &Context,
    slot: &SlotArgs,
    upkeep: Upkeep,
    command: impl FnOnce() -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let (Some(slot_s), Some(repository)) = (slot.slot, &ctx.global.repo) else {
        return command();
    };
    let repository = repository.to_string_lossy().into_owned();
    let Some(dir) = ctx.connector.state_dir().map(StateDir::of_repositories) else {
        return Err(Failure::usage("there is no directory for the state of repositories"));
    };
    let name = upkeep.state_name(&repository);
    let failed = |error| Failure::file("use", &dir.app_dir(&name), &error);
    let Some(_lock) = dir.lock(&name).map_err(failed)? else {
        let why = format!("another {} of `{repository}` is under way", upkeep.command());
        return Err(Failure::new(Exit::Locked, why));
    };
    let mut state = dir.read(&name).map_err(failed)?;
    if let Some(lost) = settle_death(&name, &mut state) {
        dir.add_run(&name, &lost).map_err(failed)?;
    }
    if !state.wants(slot_s, slot.attempt) {
        return Ok(Exit::Done);
    }
    let started = text::now().seconds;
    let run = format!("{started}-{}", std::process::id());
    state.began = Some(Began {
        run: run.clone(),
        slot_s: Some(slot_s),
        attempt: slot.attempt,
        at_s: started,
        pid: std::process::id(),
    });
    state.settled_s = state.settled_s.max(Some(slot_s));
    state.missed_total += slot.missed;
    dir.write(&name, &state).map_err(failed)?;
    let ended = command();
    let mut record = RunRecord {
        app: name.clone(),
        run,
        slot: Some(slot_s),
        started,
        ended: text::now().seconds,
        attempt: slot.attempt,
        missed: slot.missed,
        repository,
        ..RunRecord::default()
    };
    judge(&ended, &mut record);
    record.seconds = (record.ended - record.started).max(0) as f64;
    state.began = None;
    state.failures = if record.status == RunStatus::Done { 0 } else { state.failures + 1 };
    dir.add_run(&name, &record).map_err(failed)?;
    dir.write(&name, &AppState { last: Some(record), ..state }).map_err(failed)?;
    ended
}

/// Notes how a command ended.
fn judge(ended: &Result<Exit, Failure>, record: &mut RunRecord) {
    let (exit, error) = match ended {
        Ok(Exit::Done) => {
            record.status = RunStatus::Done;
            return;
        }
        Ok(Exit::Damage) => {
            record.fault = Some(Fault::Damage);
            (Exit::Damage, "damage was found".to_owned())
        }
        Ok(Exit::RolledBack) => {
            record.fault = Some(Fault::RolledBack);
            (Exit::RolledBack, "an older state than this machine remembers".to_owned())
        }
        Ok(exit) => (*exit, format!("it ended with code {}", *exit as u8)),
        Err(failure) => {
            record.hint = failure.hint_text().map(str::to_owned);
            (failure.exit, failure.text())
        }
    };
    record.status = RunStatus::Failed;
    record.error = Some(error);
    record.is_stopped = exit == Exit::Interrupted;
    record.is_transient = matches!(exit, Exit::Error | Exit::NoRepository | Exit::Interrupted);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_stays_and_trouble_may_pass() {
        let fault = |ended: Result<Exit, Failure>| {
            let mut record = RunRecord::default();
            judge(&ended, &mut record);
            record.fault
        };
        assert_eq!(fault(Ok(Exit::Damage)), Some(Fault::Damage));
        assert_eq!(fault(Ok(Exit::RolledBack)), Some(Fault::RolledBack));
        assert_eq!(fault(Err(Failure::usage("wrong"))), None);
        let judged = |ended: Result<Exit, Failure>| {
            let mut record = RunRecord::default();
            judge(&ended, &mut record);
            (record.status, record.is_transient, record.error.is_some())
        };
        assert_eq!(judged(Ok(Exit::Done)), (RunStatus::Done, false, false));
        assert_eq!(judged(Ok(Exit::Damage)), (RunStatus::Failed, false, true));
        let away = Failure::new(Exit::NoRepository, "it is away");
        assert_eq!(judged(Err(away)), (RunStatus::Failed, true, true));
        assert_eq!(judged(Err(Failure::interrupted())), (RunStatus::Failed, true, true));
        assert_eq!(judged(Err(Failure::usage("wrong"))), (RunStatus::Failed, false, true));
    }
}
