//! One run of an app: hooks, dumps, files, retention, and what is remembered of it.
//!
//! | step | | on failure |
//! |---|---|---|
//! | 1 | lock the app, note that the run began | held: [`RunError::Locked`]; no state: go on without |
//! | 2 | hook `before` | exit code 75: *skipped*; else *failed*, and nothing is dumped |
//! | 3 | dumps, one after another; then files; commit | *failed*: no snapshot, the last one remains |
//! | 4 | hook `after`, or `failed`; `finally` in any case | a notice |
//! | 5 | retention, if there is a good snapshot | a notice; again next time |
//! | 6 | write the state | the snapshot remains; the run reports an error |
//!
//! A run that dies leaves `began` without an end: the next look at the schedule, or the next run,
//! turns it into a failure that may pass, so that it is tried again within its slot.

mod alarm;
mod attempt;
mod outcome;
mod request;
mod retention;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::attempt::Attempt;
use super::error as jobs;
use super::hooks::{self, HookEvent};
use super::state::{
    self, AppState, Began, GoodRun, RunLog, RunRecord, RunStatus, StateDir, StateLock,
};
use super::transient::RETRY_DEFAULT;
use crate::connect;
use crate::format::entry::Timestamp;
use crate::monitor::Monitor;
use crate::settings::app::AppSettings;

pub use outcome::in_words;
pub use request::{AppRunner, RunEnd, RunError, RunRequest};

/// Longest run, if nothing else is configured.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(24 * 3600);

/// State of the app while its run is under way.
struct Held {
    _lock: StateLock,
    state: AppState,
}

impl AppRunner<'_> {
    /// Runs an app.
    ///
    /// Returns the report, also of a run that failed. `monitor` is cancelled when the run takes
    /// longer than its time limit.
    pub fn run(&self, request: &RunRequest, monitor: &Arc<Monitor>) -> Result<RunEnd, RunError> {
        let app = self.settings_of(&request.app)?;
        let mut notices = Vec::new();
        let mut held = match self.state.filter(|_| !request.dry_run) {
            Some(dir) => self.hold(dir, request, &mut notices)?,
            None => None,
        };
        if held.as_ref().is_some_and(|held| !request.is_wanted(&held.state)) {
            return Err(RunError::Settled(request.app.clone()));
        }
        let started = (self.clock)();
        let mut record = RunRecord {
            app: request.app.clone(),
            run: run_id(started),
            slot: request.slot_s,
            started: started.seconds,
            attempt: request.attempt.max(1),
            missed: request.missed,
            repository: self.repository_of(&app),
            notices,
            ..RunRecord::default()
        };
        let retries = app.run.retry.unwrap_or(RETRY_DEFAULT);
        self.note_begin(&mut held, &mut record, retries);
        if !request.dry_run {
            (self.on_begin)(&record);
        }
        self.keep_words(&record, held.is_some(), monitor);
        let began = Instant::now();
        let error = self.perform(
            request,
            &app,
            &mut record,
            held.as_mut().map(|held| &mut held.state),
            monitor,
        );
        if let Some(error) = &error {
            (record.fault, record.hint) = outcome::fault_of(error);
        }
        record.seconds = began.elapsed().as_secs_f64();
        record.ended = (self.clock)().seconds;
        if let (Some(dir), Some(held)) = (self.state, held) {
            self.note_end(dir, held, &mut record, retries);
        }
        Ok(RunEnd { record, error })
    }

    fn settings_of(&self, app: &str) -> Result<AppSettings, RunError> {
        let configured = self.settings.apps.get(app).ok_or_else(|| {
            let known: Vec<&str> = self.settings.apps.keys().map(String::as_str).collect();
            let error =
                connect::Error::usage(format!("there is no [app.{app}] in the configuration"));
            match known.is_empty() {
                true => error,
                false => error.hint(format!("the configuration has {}", known.join(", "))),
            }
        })?;
        let merged = configured.clone().with_defaults(&self.settings.defaults);
        if let [_, _, ..] = merged.repositories.as_slice() {
            let why = format!(
                "app `{app}` has several repositories, which this version does not support yet"
            );
            return Err(connect::Error::usage(why).hint("keep one of them").into());
        }
        Ok(merged)
    }

    /// Returns the name of the repository that is configured for an app.
    fn repository_of(&self, app: &AppSettings) -> String {
        let own = app.repositories.first().map(String::as_str);
        own.or(self.settings.default_repository()).unwrap_or_default().to_owned()
    }

    /// Keeps what programs write to standard error in the log of the run.
    fn keep_words(&self, record: &RunRecord, is_held: bool, monitor: &Monitor) {
        // Without the app's lock the logs may be another run's.
        if let Some(dir) = self.state.filter(|_| is_held) {
            let log = RunLog::new(&dir.app_dir(&record.app), &record.run);
            monitor.hear_programs(move |program, line| log.add(program, line));
        }
    }

    /// Locks the app and reads its state; `None`, with a notice, if that is not possible.
    fn hold(
        &self,
        dir: &StateDir,
        request: &RunRequest,
        notices: &mut Vec<String>,
    ) -> Result<Option<Held>, RunError> {
        let held = dir.lock(&request.app).and_then(|lock| {
            lock.map(|lock| Ok(Held { _lock: lock, state: dir.read(&request.app)? })).transpose()
        });
        match held {
            Ok(Some(held)) => Ok(Some(held)),
            Ok(None) => Err(RunError::Locked(request.app.clone())),
            Err(error) => {
                notices.push(format!("this run is not remembered: {error}"));
                Ok(None)
            }
        }
    }

    /// Notes that the run began, and reports one before it that died.
    fn note_begin(&self, held: &mut Option<Held>, record: &mut RunRecord, retries: u32) {
        let (Some(dir), Some(held)) = (self.state, held.as_mut()) else {
            return;
        };
        if let Some(lost) = state::settle_death(&record.app, &mut held.state) {
            // Its only reader is the history.
            let _ = dir.add_run(&record.app, &lost);
        }
        // A look at the schedule may have noted the death before.
        if let Some(lost) = held.state.last.as_ref().filter(|last| state::is_death(last)) {
            record.notices.push(format!("the run before did not end: it began as {}", lost.run));
        }
        held.state.count_begin(record, retries);
        held.state.began = Some(Began {
            run: record.run.clone(),
            slot_s: record.slot,
            attempt: record.attempt,
            at_s: record.started,
            pid: std::process::id(),
        });
        if let Some(slot_s) = record.slot {
            held.state.settled_s = held.state.settled_s.max(Some(slot_s));
            held.state.untold.add_missed(record.missed, slot_s);
        }
        held.state.missed_total += record.missed;
        if let Err(error) = dir.write(&record.app, &held.state) {
            record.notices.push(format!("this run may not be remembered: {error}"));
        }
    }

    /// Runs the hooks and the backup between them; returns why that failed.
    fn perform(
        &self,
        request: &RunRequest,
        app: &AppSettings,
        record: &mut RunRecord,
        state: Option<&mut AppState>,
        monitor: &Arc<Monitor>,
    ) -> Option<jobs::Error> {
        let timeout = app.run.timeout.unwrap_or(TIMEOUT_DEFAULT);
        let attempt = Attempt { runner: self, request, app };
        let watch = outcome::Deadline::watch(monitor, timeout);
        let is_skipped = !request.dry_run
            && self.run_hooks(HookEvent::Before, app, record, monitor) == Some(hooks::SKIP_CODE);
        let mut error = None;
        if is_skipped {
            // What `before` waits for may be there at the next attempt.
            (record.status, record.is_transient) = (RunStatus::Skipped, true);
        } else if record.error.is_none() {
            if !request.dry_run {
                (self.on_read)(record);
            }
            error = attempt.back_up(record, state, monitor);
        }
        record.is_stopped = monitor.is_cancelled() && !watch.was_reached();
        if watch.was_reached() {
            record.error = Some(format!("it took longer than {} s", timeout.as_secs()));
            (record.status, record.is_transient) = (RunStatus::Failed, true);
            // The limit ended it, and not a signal.
            error = None;
        }
        drop(watch);
        if record.is_stopped && record.status == RunStatus::Failed {
            // Also in a hook, whose failure does not pass by itself otherwise.
            (record.error, record.is_transient) = (Some("it was stopped".to_owned()), true);
        }
        if request.dry_run {
            return error;
        }
        // These end the run: what stopped it must not stop them.
        let monitor = monitor.after_cancellation();
        match record.status {
            RunStatus::Failed => self.run_hooks(HookEvent::Failed, app, record, &monitor),
            RunStatus::Skipped => None,
            _ => self.run_hooks(HookEvent::After, app, record, &monitor),
        };
        self.run_hooks(HookEvent::Finally, app, record, &monitor);
        error
    }

    /// Runs the commands of an event. Returns the exit code of the one that failed, if any.
    ///
    /// A failure of `before` fails the run; others are notices.
    fn run_hooks(
        &self,
        event: HookEvent,
        app: &AppSettings,
        record: &mut RunRecord,
        monitor: &Arc<Monitor>,
    ) -> Option<i32> {
        let own = &app.run.hooks;
        let commands = match event {
            HookEvent::Before => &own.before,
            HookEvent::After => &own.after,
            HookEvent::Failed => &own.failed,
            HookEvent::Finally => &own.finally,
        };
        let timeout = own.timeout.unwrap_or(hooks::TIMEOUT_DEFAULT);
        for command in commands {
            let variables = variables_of(event, record);
            let end = hooks::run(event, command, &variables, timeout, monitor);
            let code = end.record.code;
            record.hooks.push(end.record);
            let Some(error) = end.error else { continue };
            if event != HookEvent::Before {
                record.notices.push(format!("hook `{}`: {error}", event.name()));
                continue;
            }
            if code != Some(hooks::SKIP_CODE) {
                record.error = Some(format!("hook `before`: {error}"));
            } else {
                record.notices.push(format!("left out: {error}"));
            }
            return code.or(Some(-1));
        }
        None
    }

    /// Writes what the run came to.
    fn note_end(&self, dir: &StateDir, mut held: Held, record: &mut RunRecord, retries: u32) {
        let state = &mut held.state;
        state.began = None;
        match record.status {
            RunStatus::Failed => state.failures += 1,
            RunStatus::Skipped => {}
            _ => state.failures = 0,
        }
        if let (Some(snapshot), true) = (&record.snapshot, record.status != RunStatus::Failed) {
            let known = state.repositories.entry(record.repository.clone()).or_default();
            known.good = Some(GoodRun {
                snapshot: snapshot.clone(),
                at_s: record.ended,
                files: Some(record.files),
            });
        }
        state.counters.count_end(record, retries);
        if record.status != RunStatus::Skipped {
            state.untold.add_run(record);
        }
        state.last = Some(record.clone());
        let written = dir.add_run(&record.app, record).and_then(|()| dir.write(&record.app, state));
        if let Err(error) = written {
            record.notices.push(format!("this run is not remembered: {error}"));
            record.error.get_or_insert_with(|| format!("its state cannot be written: {error}"));
        }
    }
}

/// Returns the environment of a hook.
fn variables_of(event: HookEvent, record: &RunRecord) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("DRUMLIN_APP", record.app.clone()),
        ("DRUMLIN_RUN", record.run.clone()),
        ("DRUMLIN_EVENT", event.name().to_owned()),
        (
            "DRUMLIN_STATUS",
            match event {
                HookEvent::Before => String::new(),
                _ => record.status.name().to_owned(),
            },
        ),
        ("DRUMLIN_ERROR", record.error.clone().unwrap_or_default()),
        ("DRUMLIN_SNAPSHOT", record.snapshot.clone().unwrap_or_default()),
        ("DRUMLIN_ADDED_BYTES", record.bytes_added.to_string()),
        ("DRUMLIN_SECONDS", format!("{:.0}", record.seconds)),
    ])
}

/// Returns the id of a run: when it began, and the process.
fn run_id(started: Timestamp) -> String {
    let time = jiff::Timestamp::from_second(started.seconds).unwrap_or_default();
    format!("{}-{}", time.strftime("%Y%m%dT%H%M%SZ"), std::process::id())
}
