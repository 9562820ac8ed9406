//! Counters of an app, for metrics.
//!
//! They are written with the rest of the app's state, by the same rename: a death leaves those
//! before the run or those after it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::parts::{RunStatus, SourceRun};
use crate::connect::RequestTotals;

/// Counters since the state directory was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// When this machine first heard of the app.
    pub known_since_s: Option<i64>,
    /// Runs by the name of their status.
    pub runs: BTreeMap<String, u64>,
    /// Slots given up since the last good run; a failed run without a slot counts as one.
    pub given_up: u64,
    /// Failures of hooks by event.
    pub hook_failures: BTreeMap<String, u64>,
    /// By the name of the repository.
    pub repositories: BTreeMap<String, RepositoryCounters>,
    /// Size of the source by the last good run.
    pub source: Option<SourceTotals>,
    /// Dumps of the last good run.
    pub dumps: Vec<SourceRun>,
}

/// Counters of an app in one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepositoryCounters {
    /// Bytes that the last good run stored.
    pub added_bytes: Option<u64>,
    /// Bytes that all runs stored.
    pub added_bytes_total: u64,
    /// When the newest snapshot was begun.
    pub last_snapshot_s: Option<i64>,
    /// Snapshots of the app there after retention was last applied.
    pub snapshots: Option<u64>,
    /// Whether it could be opened when it was last tried.
    pub is_reachable: Option<bool>,
    /// When it was last tried.
    pub asked_s: i64,
    /// Requests of all runs.
    pub requests: RequestTotals,
}

/// Size of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceTotals {
    /// Bytes of content.
    pub bytes: u64,
    /// Files, dumps included.
    pub files: u64,
}

impl Counters {
    /// Counts a run that died. Whether its slot is given up is decided when the next run begins.
    pub(super) fn count_death(&mut self) {
        self.count_status(RunStatus::Failed);
    }

    /// Counts a run by its status.
    pub(super) fn count_status(&mut self, status: RunStatus) {
        *self.runs.entry(status.name().to_owned()).or_default() += 1;
    }
}
