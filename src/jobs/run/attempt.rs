//! The backup of a run.

use std::sync::Arc;

use super::alarm::alarm_of;
use super::outcome::{causes_of, in_words};
use super::request::{AppRunner, RunRequest};
use super::retention;
use crate::backup::BackupReport;
use crate::connect::{self, OtherErrorKind, Purpose, RepositoryPlace, RequestTotals, host};
use crate::format::snapshot::SnapshotStats;
use crate::jobs::containers::{EnginePlace, StandStill};
use crate::jobs::dumps::DumpConditions;
use crate::jobs::state::{Alarm, AppState, RunRecord, RunStatus, SourceRun, StateDir};
use crate::jobs::{self, Additions, Job, range_notes, transient};
use crate::monitor::{Monitor, ProblemKind};
use crate::repo::Repository;
use crate::settings::app::AppSettings;

/// Problems that a report holds.
const PROBLEMS_MAX: usize = 20;
/// Seconds between two applications of the policy while nothing changes.
const FORGET_INTERVAL_S: i64 = 86_400;

/// A backup that is about to be made.
pub(super) struct Attempt<'a> {
    /// What all runs share.
    pub runner: &'a AppRunner<'a>,
    /// The run.
    pub request: &'a RunRequest,
    /// The app, merged with the defaults.
    pub app: &'a AppSettings,
}

impl Attempt<'_> {
    /// Takes the snapshot, and applies the retention policy after it. Returns why there is none.
    pub(super) fn back_up(
        &self,
        record: &mut RunRecord,
        state: Option<&mut AppState>,
        monitor: &Arc<Monitor>,
    ) -> Option<jobs::Error> {
        // The connector counts the requests of all runs of this process.
        let counts = || self.runner.connector.requests.counts().unwrap_or_default();
        let before = counts();
        let error = self.back_up_and_forget(record, state, monitor);
        record.traffic = RequestTotals::from(counts() - before);
        record.requests = record.traffic.calls();
        error
    }

    fn back_up_and_forget(
        &self,
        record: &mut RunRecord,
        mut state: Option<&mut AppState>,
        monitor: &Arc<Monitor>,
    ) -> Option<jobs::Error> {
        let taken = self.take(record, state.as_deref_mut(), monitor);
        if let (Ok((_, stats)), Some(state)) = (&taken, state.as_deref_mut()) {
            self.note_alarm(record, stats, state);
        }
        note_problems(record, monitor);
        match taken {
            Ok((repository, _)) if !self.request.dry_run => {
                self.forget(record, state, &repository);
                None
            }
            Ok(_) => None,
            Err(error) => {
                record.status = RunStatus::Failed;
                record.is_transient = transient::may_pass(&error);
                record.error = Some(in_words(&error));
                record.causes = causes_of(&error);
                Some(error)
            }
        }
    }

    fn take(
        &self,
        record: &mut RunRecord,
        mut state: Option<&mut AppState>,
        monitor: &Arc<Monitor>,
    ) -> jobs::Result<(Arc<Repository>, SnapshotStats)> {
        let AppRunner { connector, settings, .. } = *self.runner;
        let additions = Additions {
            dry_run: self.request.dry_run,
            always_snapshot: self.request.always_snapshot,
            low_memory: self.app.run.low_memory == Some(true),
            threads: self.runner.threads,
            program: self.runner.program.clone(),
            ..Additions::default()
        };
        let app = self.request.app.clone();
        let mut job = Job::new(app, self.app.clone(), additions);
        let wanted = job.repository(connector.options.repo.is_some())?;
        let place = connector.place(settings, wanted)?;
        let repository = self.open(&place, record)?;
        // Without the app's lock there is no state, and another run may use its directory.
        let of_app = self.runner.state.filter(|_| state.is_some());
        let made = of_app.and_then(|dir| dir.make_scratch_dir(&self.request.app).ok());
        let scratch = made.unwrap_or_else(|| self.runner.scratch.clone());
        let still = self.stand_still(of_app)?;
        let conditions = DumpConditions {
            app: self.request.app.clone(),
            monitor: Arc::clone(monitor),
            scratch,
            state: state.as_deref_mut(),
            operator: &*connector.operator,
            containers: EnginePlace { docker: &settings.docker, env: &connector.env },
        };
        let records = job.plan_dumps(conditions)?;
        record.notices.append(&mut job.dumps.notices);
        let ranges = std::mem::take(&mut job.dumps.ranges);
        let report = while_still(still, job, record, |job| {
            job.run(connector, &place, &repository, monitor)
        })?;
        for shared in records {
            record.notices.append(&mut shared.take_notices());
            let dump = shared.get();
            record.sources.push(SourceRun {
                bytes: dump.files.iter().map(|file| file.bytes).sum(),
                rows: dump.files.iter().filter_map(|file| file.rows).reduce(|sum, rows| sum + rows),
                source: dump.place,
                kind: dump.kind,
                seconds: dump.took.as_secs_f64(),
            });
        }
        note_report(record, &report, monitor);
        if let (Some(state), Some(snapshot)) = (state, &record.snapshot) {
            range_notes::save(state, snapshot, &ranges);
        }
        Ok((repository, report.stats))
    }

    /// Opens the repository, and notes whether it could be reached.
    fn open(
        &self,
        place: &RepositoryPlace,
        record: &mut RunRecord,
    ) -> jobs::Result<Arc<Repository>> {
        if let Some(name) = &place.name {
            record.repository.clone_from(name);
        }
        let opened =
            self.runner.connector.open_place(place, Purpose::BackUp).map_err(jobs::Error::from);
        record.is_reachable = match &opened {
            Ok(_) => Some(true),
            Err(error) => transient::is_out_of_reach(error).then_some(false),
        };
        opened
    }

    /// Returns the containers that are to stand still while files are read.
    fn stand_still(&self, state: Option<&StateDir>) -> connect::Result<Option<Arc<StandStill>>> {
        let AppRunner { connector, settings, .. } = *self.runner;
        if self.app.stop.is_empty() || self.request.dry_run {
            return Ok(None);
        }
        let Some(dir) = state else {
            // Nobody would start them after a death.
            let why = "containers cannot be stopped where that cannot be noted before";
            return Err(connect::Error::new(OtherErrorKind::Failed, why)
                .hint("the directory for the state of apps must be writable: DRUMLIN_STATE_DIR"));
        };
        let place = EnginePlace { docker: &settings.docker, env: &connector.env };
        let engine = place.engine()?;
        StandStill::prepare(engine, dir, &self.request.app, &self.app.stop).map(Some)
    }

    /// Notes an alarming change of a new snapshot.
    fn note_alarm(&self, record: &mut RunRecord, stats: &SnapshotStats, state: &mut AppState) {
        let known = state.repositories.get(&record.repository);
        let before = known.and_then(|known| known.good.as_ref()?.files);
        let is_new = matches!(record.status, RunStatus::Done | RunStatus::Partial);
        let before = before.filter(|_| is_new && !self.request.dry_run);
        if let Some((kind, what)) = alarm_of(self.app.run.alarm.as_ref(), stats, before) {
            let how = format!("`drumlin apps --ack {}` lets retention go on", self.request.app);
            record.notices.push(format!("{what}: old snapshots stay until you look; {how}"));
            state.is_alarmed = true;
            Alarm { kind, what, since_s: record.started }.note(&mut state.alarms);
        }
    }

    /// Applies the policy after a good run; once a day if nothing changed.
    fn forget(
        &self,
        record: &mut RunRecord,
        state: Option<&mut AppState>,
        repository: &Arc<Repository>,
    ) {
        let Some(policy) = self.app.keep.as_ref().filter(|policy| !policy.is_empty()) else {
            return;
        };
        let now = (self.runner.clock)();
        let mut known = state.map(|state| {
            (state.is_alarmed, state.repositories.entry(record.repository.clone()).or_default())
        });
        if known.as_ref().is_some_and(|(is_alarmed, _)| *is_alarmed) {
            record.notices.push("retention rests until the alarm is acknowledged".to_owned());
            return;
        }
        let last_s = known.as_ref().and_then(|(_, known)| known.forgot_s);
        let is_recent =
            last_s.is_some_and(|at_s| (0..FORGET_INTERVAL_S).contains(&(now.seconds - at_s)));
        if record.status == RunStatus::Unchanged && is_recent {
            return;
        }
        let host = self.app.host.clone().unwrap_or_else(host::host_name);
        let (app, program) = (&self.request.app, &self.runner.program);
        let series = retention::AppSeries { app, host: &host };
        match retention::apply(repository, &series, policy, program, now) {
            Ok(kept) => {
                record.snapshots = Some(kept);
                if let Some((_, known)) = &mut known {
                    known.forgot_s = Some(now.seconds);
                }
            }
            Err(why) => record.notices.push(format!("nothing was forgotten: {why}")),
        }
    }
}

/// Runs a backup whose containers stand still from the end of its dumps on, and starts them again
/// whatever happened.
fn while_still(
    still: Option<Arc<StandStill>>,
    mut job: Job,
    record: &mut RunRecord,
    run: impl FnOnce(Job) -> jobs::Result<BackupReport>,
) -> jobs::Result<BackupReport> {
    let Some(still) = still else { return run(job) };
    let report = match still.hold(&mut job.dumps.dumps) {
        Ok(()) => run(job),
        Err(error) => Err(error.into()),
    };
    let started = still.end();
    record.notices.extend(started.notices);
    if let Some(failure) = started.failures.first() {
        record.error.get_or_insert_with(|| failure.clone());
    }
    record.notices.extend(started.failures);
    match (report, still.take_failure()) {
        (Err(_), Some(failure)) => Err(failure.into()),
        (report, _) => report,
    }
}

fn note_report(record: &mut RunRecord, report: &BackupReport, monitor: &Monitor) {
    let stats = &report.stats;
    (record.files, record.bytes) = (stats.totals.files, stats.totals.bytes);
    record.files_changed = stats.files_new + stats.files_changed;
    (record.bytes_read, record.bytes_added) = (stats.bytes_read, stats.bytes_stored);
    let made = report.snapshot.as_ref().map(|snapshot| snapshot.id);
    record.snapshot_s = report.snapshot.as_ref().map(|snapshot| snapshot.started.seconds);
    record.snapshot = made.or(report.unchanged_since).map(|id| id.to_hex());
    record.status = match (report.unchanged_since, monitor.count_of(ProblemKind::Unreadable)) {
        (_, 1..) => RunStatus::Partial,
        (Some(_), 0) => RunStatus::Unchanged,
        (None, 0) => RunStatus::Done,
    };
}

fn note_problems(record: &mut RunRecord, monitor: &Monitor) {
    record.problem_count = monitor.problem_count();
    record.unread_files = monitor.count_of(ProblemKind::Unreadable);
    let shown = |problem: &crate::monitor::Problem| {
        let path = crate::text::printable(&problem.path);
        format!("{path}: {}", problem.message)
    };
    record.problems = monitor.problems().iter().take(PROBLEMS_MAX).map(shown).collect();
}
