//! Values that the state of an app holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::counters::Counters;
use super::parts::{HookRecord, RunStatus, SourceRun};
use super::trouble::{Alarm, Fault};
use crate::connect::RequestTotals;
#[cfg(feature = "cli")]
use crate::notify::Told;

/// Version of `state.json`.
pub(super) const FORMAT: u32 = 1;

/// The state of one app. All times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppState {
    /// Version of the file.
    pub format: u32,
    /// The moment up to which all slots were run, given up or missed.
    pub settled_s: Option<i64>,
    /// Lines and zone of the schedule that was in force.
    pub schedule: Vec<String>,
    /// When that schedule, or the app, came into force.
    pub since_s: Option<i64>,
    /// A run that began and has not ended: it is under way, or died.
    pub began: Option<Began>,
    /// Attempts within the current slot that failed for a reason that may pass.
    pub attempts: u32,
    /// When to try again.
    pub retry_at_s: Option<i64>,
    /// Slots that were missed, in all.
    pub missed_total: u64,
    /// Runs that failed in a row.
    pub failures: u32,
    /// The last run.
    pub last: Option<RunRecord>,
    /// What is known of each repository, by its name.
    pub repositories: BTreeMap<String, RepositoryState>,
    /// Key of PostgreSQL's dumps, so that unchanged ones are equal.
    pub restrict_key: String,
    /// Whether retention rests until an alarm is acknowledged.
    pub is_alarmed: bool,
    /// The alarms for which it rests.
    pub alarms: Vec<Alarm>,
    /// Notes of sources, by the place of their dumps.
    pub notes: BTreeMap<String, serde_json::Value>,
    /// Counters for metrics.
    pub counters: Counters,
    /// What no message has told yet.
    pub untold: Untold,
    /// What messages have told.
    #[cfg(feature = "cli")]
    pub told: Told,
}

impl AppState {
    /// Returns when a repository was last confirmed to hold what the sources were.
    pub fn good_s(&self) -> Option<i64> {
        self.repositories.values().filter_map(|known| Some(known.good.as_ref()?.at_s)).max()
    }

    /// Returns the moment after which the app is overdue; `None` if it never is, or nobody knows.
    ///
    /// An app without a good run counts from `seen_s`, when it was first heard of.
    pub fn overdue_after_s(&self, max_age_s: Option<i64>, seen_s: Option<i64>) -> Option<i64> {
        Some(self.good_s().or(seen_s)?.saturating_add(max_age_s?))
    }
}

/// What no message has told yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Untold {
    /// Runs, oldest first.
    pub runs: Vec<RunRecord>,
    /// Slots without a run.
    pub missed: Option<MissedSlots>,
}

/// Slots that passed without a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MissedSlots {
    /// The moment up to which they are counted, in seconds since 1970.
    pub until_s: i64,
    /// How many.
    pub slots: u64,
}

/// A run that began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Began {
    /// Its id.
    pub run: String,
    /// Its slot; `None` if it was started by hand.
    pub slot_s: Option<i64>,
    /// Number of the attempt within the slot.
    pub attempt: u32,
    /// When.
    pub at_s: i64,
    /// Its process.
    pub pid: u32,
}

/// What is known of an app in one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepositoryState {
    /// The last good run.
    pub good: Option<GoodRun>,
    /// When unchanged runs last applied the retention policy.
    pub forgot_s: Option<i64>,
}

/// A run after which the repository held what the sources were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GoodRun {
    /// The snapshot, in hex.
    pub snapshot: String,
    /// When it was confirmed.
    pub at_s: i64,
    /// Its number of files.
    pub files: Option<u64>,
}

/// The report of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRecord {
    /// The app.
    pub app: String,
    /// Id of the run.
    pub run: String,
    /// Its slot; `None` if it was started by hand.
    pub slot: Option<i64>,
    /// How it ended.
    pub status: RunStatus,
    /// When it began.
    pub started: i64,
    /// When it ended.
    pub ended: i64,
    /// How long it took.
    pub seconds: f64,
    /// Number of the attempt within the slot, from 1.
    pub attempt: u32,
    /// Slots before it that were missed.
    pub missed: u64,
    /// Name of the repository.
    pub repository: String,
    /// The new snapshot, or the one that is still right; in hex.
    pub snapshot: Option<String>,
    /// Files and bytes of the snapshot, and what was new.
    pub files: u64,
    /// Bytes of content.
    pub bytes: u64,
    /// Files that were new or changed.
    pub files_changed: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// Bytes that were stored.
    pub bytes_added: u64,
    /// Its dumps.
    pub sources: Vec<SourceRun>,
    /// Its hooks.
    pub hooks: Vec<HookRecord>,
    /// Number of problems.
    pub problem_count: u64,
    /// The first of them, for people.
    pub problems: Vec<String>,
    /// What should be known and is no error.
    pub notices: Vec<String>,
    /// Files that could not be read.
    pub unread_files: u64,
    /// Requests to the store.
    pub requests: u64,
    /// The same by operation, with bytes.
    pub traffic: RequestTotals,
    /// Whether the repository could be opened; `None` if that was not tried, or says nothing.
    pub is_reachable: Option<bool>,
    /// When the new snapshot was begun.
    pub snapshot_s: Option<i64>,
    /// Snapshots of the app that retention left in the repository; `None` if it was not applied.
    pub snapshots: Option<u64>,
    /// Why it failed, for people.
    pub error: Option<String>,
    /// The causes with which `error` ends, if it does.
    pub causes: Vec<String>,
    /// The trouble of the repository that it failed by.
    pub fault: Option<Fault>,
    /// What can be done about the failure, for people.
    pub hint: Option<String>,
    /// Whether the failure may pass by itself, so that the run is tried again within the slot.
    pub is_transient: bool,
    /// Whether it was stopped by a signal.
    pub is_stopped: bool,
}

impl RunRecord {
    /// Returns the hooks that failed. One that asked to leave the run out did not.
    pub fn failed_hooks(&self) -> impl Iterator<Item = &HookRecord> {
        let may_skip = self.status == RunStatus::Skipped;
        self.hooks
            .iter()
            .filter(move |hook| hook.code != Some(0) && !(may_skip && hook.event == "before"))
    }
}

impl Eq for RunRecord {}
