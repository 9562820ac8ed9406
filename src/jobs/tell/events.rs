//! Events that follow from the state of an app.
//!
//! Pure: the same state, settings and time give the same events. They may be reported any number of
//! times; what was told is remembered elsewhere.

use super::row::Saying;
use crate::jobs::state::{AlarmKind, AppState, Fault, RunRecord, RunStatus, is_death};
use crate::jobs::timetable::Timetable;
use crate::jobs::transient::RETRY_DEFAULT;
use crate::notify::{Facts, Happened, Happening, Outcome, Trouble, TroubleKind};
use crate::settings::app::AppSettings;

/// Seconds after which a failed attempt is told although it should have been repeated: nobody
/// repeated it.
const REPEAT_MAX_S: i64 = 6 * 3_600;
/// Most problems of a run in its message.
const PROBLEMS_MAX: usize = 8;

/// An app as it is seen at a time.
pub(super) struct AppView<'a> {
    /// Its settings, merged with the defaults.
    pub app: &'a AppSettings,
    /// Its state.
    pub state: &'a AppState,
    /// When it should run.
    pub times: &'a Timetable,
    /// When it was first seen, in seconds since 1970, if that is known.
    pub seen_s: Option<i64>,
    /// Whether another writer says whether it is overdue.
    pub is_watched: bool,
    /// The time, in seconds since 1970.
    pub now_s: i64,
}

/// Something to be told of an app, and what of its state waits no longer when it was.
pub(super) struct AppSaying {
    /// What is told.
    pub saying: Saying,
    /// Number of the oldest waiting runs that are told with it, or need not be.
    pub runs: usize,
    /// Whether it tells the missed slots.
    pub has_missed: bool,
}

/// What becomes of a waiting run.
#[derive(PartialEq, Eq)]
enum Fate {
    Told,
    /// A later attempt tells what came of it.
    Dropped,
    /// It will be repeated.
    Waiting,
}

impl AppView<'_> {
    /// Returns the moment after which the app is overdue; `None` if it never is, or nobody knows.
    pub(super) fn limit_s(&self) -> Option<i64> {
        self.state.overdue_after_s(self.times.max_age_s, self.seen_s)
    }

    /// Returns whether there was no good run for too long.
    pub(super) fn is_overdue(&self) -> bool {
        self.limit_s().is_some_and(|limit_s| self.now_s > limit_s)
    }

    /// Returns whether the app is overdue, as an event.
    pub(super) fn overdue(&self) -> Option<Happened> {
        let (limit_s, trouble) = (self.limit_s()?, Trouble::of_app(TroubleKind::Overdue));
        Some(match self.now_s > limit_s {
            true => Happened::Holds { trouble, since_s: limit_s },
            false => Happened::Ended(trouble),
        })
    }

    /// Returns the facts of an app of which no run is told.
    pub(super) fn facts(&self) -> Facts {
        let failed = self.state.last.as_ref().filter(|last| last.status == RunStatus::Failed);
        Facts {
            errors: failed.and_then(|last| last.error.clone()).into_iter().collect(),
            hint: failed.and_then(|last| last.hint.clone()),
            lines: self.state.alarms.iter().map(|alarm| alarm.what.clone()).collect(),
            last_good_s: self.state.good_s(),
            next_s: self.times.schedule.next_s(self.now_s),
            ..Facts::default()
        }
    }

    /// Returns all that may have to be told, in order.
    pub(super) fn sayings(&self) -> Vec<AppSaying> {
        let mut sayings = Vec::new();
        if let Some(missed) = &self.state.untold.missed {
            let facts = Facts { missed: Some(missed.slots), ..self.facts() };
            let what = Happened::Missed(missed.until_s);
            sayings.push(AppSaying {
                saying: Saying::of(Happening { what, facts }),
                runs: 0,
                has_missed: true,
            });
        }
        let runs = &self.state.untold.runs;
        let retries = self.app.run.retry.unwrap_or(RETRY_DEFAULT);
        for (at, run) in runs.iter().enumerate() {
            match fate_of(run, runs.get(at + 1), retries, self.now_s) {
                Fate::Waiting => break,
                Fate::Dropped => {}
                Fate::Told => sayings.push(AppSaying {
                    saying: Saying::of(Happening {
                        what: Happened::Together(events_of(run)),
                        facts: self.facts_of(run),
                    }),
                    runs: at + 1,
                    has_missed: false,
                }),
            }
        }
        let lasting = self.lasting();
        match sayings.last_mut().map(|last| &mut last.saying.happening.what) {
            // One message tells how a run ended, and what else is so now.
            Some(Happened::Together(events)) => events.extend(lasting),
            _ => sayings.push(AppSaying {
                saying: Saying::of(Happening {
                    what: Happened::Together(lasting),
                    facts: self.facts(),
                }),
                runs: 0,
                has_missed: false,
            }),
        }
        sayings
    }

    /// Returns what lasts beyond a run, or has ended: alarms, and that the app is overdue.
    fn lasting(&self) -> Vec<Happened> {
        let kinds = [
            (AlarmKind::Shrunk, TroubleKind::Shrunk),
            (AlarmKind::ChangedTooMuch, TroubleKind::ChangedTooMuch),
        ];
        let alarms = kinds.into_iter().map(|(kind, trouble)| {
            let trouble = Trouble::of_app(trouble);
            match self.state.alarms.iter().find(|alarm| alarm.kind == kind) {
                Some(alarm) => Happened::Holds { trouble, since_s: alarm.since_s },
                None => Happened::Ended(trouble),
            }
        });
        alarms.chain(self.overdue().filter(|_| !self.is_watched)).collect()
    }

    fn facts_of(&self, run: &RunRecord) -> Facts {
        let has_snapshot = run.snapshot.is_some();
        let problems = run.problems.iter().take(PROBLEMS_MAX);
        Facts {
            status: Some(run.status.name().to_owned()),
            run: Some(run.run.clone()),
            slot_s: run.slot,
            started_s: Some(run.started),
            seconds: (!is_death(run)).then_some(run.seconds as u64),
            snapshot: run.snapshot.clone(),
            source_bytes: has_snapshot.then_some(run.bytes),
            added_bytes: has_snapshot.then_some(run.bytes_added),
            problem_count: Some(run.problem_count),
            errors: run.error.iter().cloned().collect(),
            hint: run.hint.clone(),
            lines: run.notices.iter().chain(problems).cloned().collect(),
            ..self.facts()
        }
    }
}

/// Decides whether a run is told.
///
/// An attempt that will be repeated is not: its slot is not given up. If the next slot comes before
/// the repetition, it is.
fn fate_of(run: &RunRecord, later: Option<&RunRecord>, retries: u32, now_s: i64) -> Fate {
    let may_repeat = run.status == RunStatus::Failed
        && run.slot.is_some()
        && run.is_transient
        && run.attempt <= retries
        // Rare, and a sign that something is wrong with the machine.
        && !is_death(run);
    match later {
        _ if !may_repeat => Fate::Told,
        Some(later) if later.slot == run.slot || later.slot.is_none() => Fate::Dropped,
        Some(_) => Fate::Told,
        None if now_s.saturating_sub(run.ended) > REPEAT_MAX_S => Fate::Told,
        None => Fate::Waiting,
    }
}

/// Returns the events of a run's end.
fn events_of(run: &RunRecord) -> Vec<Happened> {
    let trouble = |fault| {
        let kind = match fault {
            Fault::Damage => TroubleKind::Damage,
            Fault::RolledBack => TroubleKind::RolledBack,
        };
        match run.repository.as_str() {
            "" => Trouble::of_app(kind),
            name => Trouble::of_target(kind, name),
        }
    };
    let ended = |outcome| Happened::RunEnded { run: run.run.clone(), outcome };
    let outcome = match run.status {
        RunStatus::Failed => {
            let holds = |fault| Happened::Holds { trouble: trouble(fault), since_s: run.started };
            let fault = run.fault.map(holds);
            return fault.into_iter().chain([ended(Outcome::Failed)]).collect();
        }
        RunStatus::Partial => Outcome::Partial,
        _ => Outcome::Good,
    };
    let faults = [Fault::Damage, Fault::RolledBack].map(|fault| Happened::Ended(trouble(fault)));
    [ended(outcome)].into_iter().chain(faults).collect()
}

#[cfg(test)]
mod tests;
