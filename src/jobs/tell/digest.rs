//! Digests: when one is due, and what it says.

use jiff::tz::TimeZone;

use super::events::AppView;
use crate::connect::host;
use crate::jobs::state::{RunStatus, StateDir};
use crate::notify::{Digest, DigestApp, DigestTarget, Health};
use crate::schedule::{self, Due, FirstRun, Habits, Past, Spread, due};

/// Most runs of an app that a digest counts.
const RUNS_MAX: usize = 1_000;

/// Returns what is due of a schedule of digests; `None` if there is no valid one.
pub(super) fn digest_due(lines: &[String], settled_s: Option<i64>, now_s: i64) -> Option<Due> {
    if lines.is_empty() {
        return None;
    }
    let spread = Spread::of(&host::host_name(), "digest");
    let schedule = schedule::parse(lines, TimeZone::system(), &spread).ok()?;
    // The first one comes when there is something to sum up.
    let habits = Habits { first_run: FirstRun::Scheduled, catch_up_s: None };
    Some(due(now_s, &schedule, &Past { settled_s, since_s: None }, &habits))
}

/// Returns what a digest says of an app, from its runs since a time.
///
/// An app whose history cannot be read has no runs there, and says why.
pub(super) fn app_of(name: &str, view: &AppView, dir: &StateDir, since_s: i64) -> DigestApp {
    let (runs, unread) = match dir.runs(name, RUNS_MAX) {
        Ok(runs) => (runs, None),
        Err(error) => (Vec::new(), Some(format!("its history cannot be read: {error}"))),
    };
    let runs: Vec<_> = runs.into_iter().filter(|run| run.ended >= since_s).collect();
    let is_failed = |status: RunStatus| status == RunStatus::Failed;
    let last = view.state.last.as_ref().filter(|last| is_failed(last.status));
    let targets = view.state.repositories.iter().map(|(name, known)| DigestTarget {
        name: name.clone(),
        good_s: known.good.as_ref().map(|good| good.at_s),
    });
    DigestApp {
        name: name.to_owned(),
        is_well: last.is_none() && !view.is_overdue() && view.state.alarms.is_empty(),
        runs: runs.len() as u64,
        failures: runs.iter().filter(|run| is_failed(run.status)).count() as u64,
        added_bytes: runs.iter().map(|run| run.bytes_added).fold(0, u64::saturating_add),
        next_s: view.times.schedule.next_s(view.now_s),
        error: unread.or_else(|| last?.error.clone()),
        targets: targets.collect(),
    }
}

/// Returns the digest of all apps.
pub(super) fn digest_of(apps: Vec<DigestApp>, since_s: i64, health: &Health) -> Digest {
    let ill = health.channels.iter().filter(|(_, one)| one.failures_in_a_row > 0);
    let lines = ill.map(|(name, one)| {
        let failures = crate::text::counted(one.failures_in_a_row, "try");
        let why = one.last_error.as_deref().unwrap_or("nobody knows why");
        format!("messages by {name} do not arrive, after {failures}: {why}")
    });
    Digest { since_s, apps, lines: lines.collect() }
}
