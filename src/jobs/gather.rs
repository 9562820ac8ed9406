//! Values of metrics, gathered from the state directory.
//!
//! Only files of this machine are read, and no repository is asked: the daemon gathers every few
//! seconds, and a run when it has ended.

use std::collections::BTreeMap;
use std::time::Duration;

use super::hooks::HookEvent;
use super::state::{
    AppState, CheckNotes, Counters, RepositoryNotes, RunRecord, RunStatus, SourceRun, StateDir,
};
use super::timetable::Timetable;
use crate::metrics::values::{
    App, Daemon, Dump, LastRun, Process, Repository, Requests, SourceSize, Status, Target, Values,
};
use crate::notify::{Outbox, StateFolder};
use crate::settings::Settings;
use crate::settings::app::AppSettings;
use crate::settings::environment::Environment;
use crate::settings::run::HookSettings;

/// Directory of messages that wait, below that of the state.
const OUTBOX: &str = "outbox";

/// What values are gathered from.
pub struct Gathering<'a> {
    /// The configuration.
    pub settings: &'a Settings,
    /// Where runs are remembered; `None` if nothing is.
    pub state: Option<&'a StateDir>,
    /// Environment variables, for the zones of schedules.
    pub env: &'a Environment,
    /// Names of the channels of notifications.
    pub channels: &'a [String],
    /// Version of the program.
    pub version: &'a str,
    /// The time, in seconds since 1970.
    pub now_s: i64,
}

/// Values, and what could not be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gathered {
    /// The values. An app whose state cannot be read is as one that never ran.
    pub values: Values,
    /// One sentence for each state that could not be read.
    pub problems: Vec<String>,
}

impl Gathering<'_> {
    /// Gathers the values of all apps and repositories. `daemon` is left out by a single run.
    pub fn gather(&self, daemon: Option<Daemon>) -> Gathered {
        let (mut values, mut problems) = (Values::default(), Vec::new());
        values.process =
            Process { version: self.version.to_owned(), gathered_s: self.now_s, daemon };
        for name in self.settings.repositories.keys() {
            let read = self.state.map(|dir| dir.repository_notes(name)).transpose();
            let notes = read.unwrap_or_else(|error| {
                problems.push(format!("notes on {name} cannot be read: {error}"));
                None
            });
            values.repositories.insert(name.clone(), repository(&notes.unwrap_or_default()));
        }
        let mut asked_s = BTreeMap::new();
        for (name, app) in &self.settings.apps {
            let app = app.clone().with_defaults(&self.settings.defaults);
            let read = self.state.map_or_else(|| Ok(AppState::default()), |dir| dir.read(name));
            let state = read.unwrap_or_else(|error| {
                problems.push(format!("the state of app {name} cannot be read: {error}"));
                AppState::default()
            });
            let is_running = state.began.is_some()
                && self.state.is_some_and(|dir| dir.is_locked(name).unwrap_or(false));
            values.apps.insert(name.clone(), App { is_running, ..self.app(name, &app, &state) });
            add_repositories(&mut values.repositories, &mut asked_s, &state.counters);
        }
        values.notification_failures = self.notification_failures();
        Gathered { values, problems }
    }

    fn app(&self, name: &str, app: &AppSettings, state: &AppState) -> App {
        let is_enabled = app.run.is_enabled != Some(false);
        let times = Timetable::of(name, app, self.env).ok();
        let max_age_s = times.as_ref().and_then(|times| times.max_age_s);
        let own = app.repositories.first().map(String::as_str);
        let target = own.or(self.settings.default_repository());
        let counters = &state.counters;
        App {
            is_enabled,
            is_running: false,
            is_overdue: state
                .overdue_after_s(max_age_s, counters.known_since_s)
                .is_some_and(|limit_s| self.now_s > limit_s),
            max_age_s: max_age_s.and_then(|age_s| u64::try_from(age_s).ok()),
            next_run_s: times
                .filter(|_| is_enabled)
                .and_then(|times| times.schedule.next_s(self.now_s)),
            failures_in_a_row: counters.given_up,
            missed_runs: state.missed_total,
            runs: runs_of(state),
            last_run: state.last.as_ref().map(last_run),
            source: counters
                .source
                .as_ref()
                .map(|source| SourceSize { bytes: source.bytes, files: source.files }),
            targets: target
                .map(|target| (target.to_owned(), target_of(target, state)))
                .into_iter()
                .collect(),
            dumps: counters.dumps.iter().map(dump).collect(),
            hook_failures: hook_failures(&app.run.hooks, counters),
        }
    }

    /// Returns the failures of each channel that is configured or was used.
    fn notification_failures(&self) -> BTreeMap<String, u64> {
        let mut failures: BTreeMap<String, u64> =
            self.channels.iter().map(|channel| (channel.clone(), 0)).collect();
        if let Some(dir) = self.state {
            let health = Outbox::new(StateFolder::new(dir.path().join(OUTBOX))).health();
            let used = health.channels.into_iter();
            failures.extend(used.map(|(name, channel)| (name, channel.failures)));
        }
        failures
    }
}

fn runs_of(state: &AppState) -> BTreeMap<Status, u64> {
    let counted = |status: Status| {
        let count = state.counters.runs.get(status.name()).copied().unwrap_or(0);
        (status, if status == Status::Missed { state.missed_total } else { count })
    };
    Status::ALL.into_iter().map(counted).collect()
}

fn last_run(record: &RunRecord) -> LastRun {
    LastRun {
        ended_s: record.ended,
        // A clock that is asked for differences never gives less than none.
        duration: Duration::try_from_secs_f64(record.seconds).unwrap_or_default(),
        status: match record.status {
            RunStatus::Done => Status::Done,
            RunStatus::Unchanged => Status::Unchanged,
            RunStatus::Partial => Status::Partial,
            RunStatus::Failed => Status::Failed,
            RunStatus::Skipped => Status::Skipped,
        },
        read_bytes: record.bytes_read,
        unread_files: record.unread_files,
    }
}

fn target_of(name: &str, state: &AppState) -> Target {
    let counters = state.counters.repositories.get(name).cloned().unwrap_or_default();
    let good = state.repositories.get(name).and_then(|known| known.good.as_ref());
    Target {
        last_success_s: good.map(|good| good.at_s),
        last_snapshot_s: counters.last_snapshot_s,
        added_bytes: counters.added_bytes,
        added_bytes_total: counters.added_bytes_total,
        snapshots: counters.snapshots,
        ..Target::default()
    }
}

fn dump(source: &SourceRun) -> (String, Dump) {
    let duration = Duration::try_from_secs_f64(source.seconds).unwrap_or_default();
    (source.source.clone(), Dump { bytes: source.bytes, duration, rows: source.rows })
}

/// Returns the failures of each hook that is configured or failed.
fn hook_failures(hooks: &HookSettings, counters: &Counters) -> BTreeMap<String, u64> {
    let commands = [
        (HookEvent::Before, &hooks.before),
        (HookEvent::After, &hooks.after),
        (HookEvent::Failed, &hooks.failed),
        (HookEvent::Finally, &hooks.finally),
    ];
    let configured = commands.into_iter().filter(|(_, commands)| !commands.is_empty());
    let mut failures: BTreeMap<String, u64> =
        configured.map(|(event, _)| (event.name().to_owned(), 0)).collect();
    failures.extend(counters.hook_failures.clone());
    failures
}

/// Returns what is remembered of a repository itself.
fn repository(notes: &RepositoryNotes) -> Repository {
    let check = notes.check.as_ref();
    let ratio = |check: &CheckNotes| {
        let (verified, all) = (check.verified_bytes as f64, check.data_bytes as f64);
        (check.data_bytes > 0).then(|| (verified / all).min(1.0))
    };
    Repository {
        bytes: check.map(|check| check.bytes),
        last_check_s: check.map(|check| check.at_s),
        damaged: notes.damage.as_ref().map_or(0, |known| known.objects),
        verified_ratio: check.and_then(ratio),
        last_prune_s: notes.last_prune_s,
        ..Repository::default()
    }
}

/// Adds what an app knows of its repositories to those that are configured.
///
/// Requests are summed over all apps; whether a repository answered is what was seen last.
fn add_repositories(
    repositories: &mut BTreeMap<String, Repository>,
    asked_s: &mut BTreeMap<String, i64>,
    counters: &Counters,
) {
    for (name, known) in &counters.repositories {
        let Some(repository) = repositories.get_mut(name) else { continue };
        let (sum, more) = (&mut repository.requests, &known.requests);
        *sum = Requests {
            list: sum.list + more.list,
            stat: sum.stat + more.stat,
            read: sum.read + more.read,
            create: sum.create + more.create,
            remove: sum.remove + more.remove,
        };
        repository.uploaded_bytes += more.bytes_up;
        repository.downloaded_bytes += more.bytes_down;
        let newest_s = asked_s.entry(name.clone()).or_insert(i64::MIN);
        if known.is_reachable.is_some() && known.asked_s >= *newest_s {
            (*newest_s, repository.is_reachable) = (known.asked_s, known.is_reachable);
        }
    }
}

#[cfg(test)]
mod tests;
