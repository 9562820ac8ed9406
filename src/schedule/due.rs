//! The decision whether a slot is due.
//!
//! It depends on nothing but its arguments: the daemon asks every half minute, `run --due` every
//! quarter of an hour, and both find the same slots. Sleep, hibernation and death need no event.

use super::calendar::Schedule;

/// The earliest time that a clock may show: 2026-01-01T00:00:00Z, before this program existed.
///
/// A computer without a battery starts in 1970 and learns the time later. If it settled slots of
/// 1970, decades of slots would be missed a minute later, and the last one run again.
pub const CLOCK_MIN_S: i64 = 1_767_225_600;

/// By how much a settled slot may be in the future, in seconds. If it is more, the clock was wrong
/// when it was settled, and waiting for it would mean no backups for too long.
const SET_BACK_MAX_S: i64 = 86_400;

/// Longest span over which missed slots are counted, in seconds: ten years.
const COUNTED_MAX_S: i64 = 3_653 * 86_400;

/// What an app's state says about its slots, in seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The moment up to which all slots were run, given up or missed: usually the newest of them.
    /// None for a new app.
    pub settled_s: Option<i64>,
    /// When the schedule in force, or the app itself, was last changed or switched on, if known:
    /// nothing was missed before.
    pub since_s: Option<i64>,
}

/// The keys of an app that decide about late slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Habits {
    /// When a new app is first run.
    pub first_run: FirstRun,
    /// Age in seconds above which a slot is only reported; none: no limit.
    pub catch_up_s: Option<i64>,
}

/// When a new app is first run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstRun {
    /// At once.
    #[default]
    Now,
    /// At its next slot. The same holds if its schedule changes: a slot from before is not run.
    Scheduled,
}

/// What is to be done now.
///
/// Write `settled_s`, with what is missed, durably *before* the run begins: a run that dies has
/// begun once, and is tried again within its slot if at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The slot to run now.
    pub run_s: Option<i64>,
    /// What is settled from now on, for the state; also if nothing is run.
    pub settled_s: Option<i64>,
    /// Slots that are neither run now nor were before.
    pub missed: Missed,
    /// What the clock looks like.
    pub clock: Clock,
}

/// A number of missed slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// How many.
    pub slots: u64,
    /// Whether it is not more: only the last ten years are counted.
    pub is_exact: bool,
}

/// The wall clock, seen by a settled slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// It may be right.
    Plausible,
    /// It was set back by more than a day, or was wrong before. All slots up to now are settled,
    /// whatever the schedule is; those after it are run at their time, although some may have been
    /// run or reported already.
    SetBack {
        /// How far in the future the settled slot was, in seconds.
        by_s: i64,
    },
    /// It shows a time before [`CLOCK_MIN_S`]: nothing is due until it is right.
    Wrong,
}

impl Missed {
    /// Nothing is missed.
    pub const NONE: Self = Self { slots: 0, is_exact: true };
}

/// Decides what is due at `now_s`, in seconds since 1970.
///
/// Due is the newest slot that is not in the future, if it is later than the settled one. A new app
/// is due at once, with the newest slot before now, however old that is.
pub fn due(now_s: i64, schedule: &Schedule, past: &Past, habits: &Habits) -> Due {
    if now_s < CLOCK_MIN_S {
        return Due { clock: Clock::Wrong, ..nothing(past) };
    }
    decide(now_s, schedule, past, habits)
}

/// Returns the decision that leaves everything as it is.
fn nothing(past: &Past) -> Due {
    Due { run_s: None, settled_s: past.settled_s, missed: Missed::NONE, clock: Clock::Plausible }
}

/// Decides what is due at a time that may be right.
pub(super) fn decide(now_s: i64, schedule: &Schedule, past: &Past, habits: &Habits) -> Due {
    let nothing = nothing(past);
    let Some(newest_s) = schedule.previous_s(now_s) else { return nothing };
    let is_waiting = habits.first_run == FirstRun::Scheduled;
    let settles = Due { settled_s: Some(newest_s), ..nothing };
    match past.settled_s {
        None => Due { run_s: (!is_waiting).then_some(newest_s), ..settles },
        Some(settled_s) if settled_s.saturating_sub(now_s) > SET_BACK_MAX_S => {
            // Not the newest slot: another schedule could have run a later one.
            let clock = Clock::SetBack { by_s: settled_s.saturating_sub(now_s) };
            Due { settled_s: Some(now_s), clock, ..nothing }
        }
        Some(settled_s) if newest_s <= settled_s => nothing,
        Some(settled_s) => {
            // A change that seems to be in the future was noted by a clock that was wrong.
            let since_s = past.since_s.filter(|since_s| *since_s <= now_s).unwrap_or(i64::MIN);
            let is_late = habits.catch_up_s.is_some_and(|max_s| now_s - newest_s > max_s);
            let is_old = newest_s <= since_s;
            let is_run = !(is_late || is_old && is_waiting);
            let mut missed = missed(schedule, settled_s.max(since_s), newest_s);
            if is_run && !is_old {
                missed.slots -= 1;
            }
            Due { run_s: is_run.then_some(newest_s), missed, ..settles }
        }
    }
}

/// Counts the slots after `after_s` up to and with `newest_s`, of the last ten years.
fn missed(schedule: &Schedule, after_s: i64, newest_s: i64) -> Missed {
    let from_s = after_s.max(newest_s - COUNTED_MAX_S);
    Missed { slots: schedule.count(from_s, newest_s), is_exact: from_s == after_s }
}
