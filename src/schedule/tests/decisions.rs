//! Examples of what is due: new apps, sleep, late slots, changed schedules, wrong clocks.

use super::{DAY, HOUR, MINUTE, at, schedule};
use crate::schedule::{CLOCK_MIN_S, Clock, Due, FirstRun, Habits, Missed, Past, Schedule, due};

const PLAIN: Habits = Habits { first_run: FirstRun::Now, catch_up_s: None };
const WAITS: Habits = Habits { first_run: FirstRun::Scheduled, catch_up_s: None };

fn nightly() -> Schedule {
    schedule(&["daily 03:10"], "UTC")
}

fn past(settled: &str) -> Past {
    Past { settled_s: Some(at(settled)), since_s: None }
}

fn ask(now: &str, past: Past, habits: &Habits) -> Due {
    due(at(now), &nightly(), &past, habits)
}

fn missed(slots: u64) -> Missed {
    Missed { slots, is_exact: true }
}

#[test]
fn a_slot_is_due_from_its_second_on_and_once() {
    let before = past("2026-06-01T03:10Z");
    assert_eq!(ask("2026-06-02T03:09:59Z", before, &PLAIN).run_s, None);
    let due = ask("2026-06-02T03:10Z", before, &PLAIN);
    assert_eq!((due.run_s, due.missed), (Some(at("2026-06-02T03:10Z")), Missed::NONE));
    let after = Past { settled_s: due.settled_s, ..before };
    let again = ask("2026-06-03T03:09:59Z", after, &PLAIN);
    assert_eq!((again.run_s, again.settled_s), (None, after.settled_s));
}

#[test]
fn slots_that_were_slept_through_are_one_run() {
    let due = ask("2026-06-09T08:00Z", past("2026-06-01T03:10Z"), &PLAIN);
    assert_eq!((due.run_s, due.missed), (Some(at("2026-06-09T03:10Z")), missed(7)));
}

#[test]
fn a_new_app_is_due_at_once_or_waits() {
    let new = Past::default();
    let newest_s = Some(at("2026-06-08T03:10Z"));
    let due = ask("2026-06-09T02:00Z", new, &PLAIN);
    assert_eq!((due.run_s, due.settled_s, due.missed), (newest_s, newest_s, Missed::NONE));
    // However old its newest slot is.
    let strict = Habits { catch_up_s: Some(60), ..PLAIN };
    assert_eq!(ask("2026-06-09T02:00Z", new, &strict).run_s, newest_s);
    let due = ask("2026-06-09T02:00Z", new, &WAITS);
    assert_eq!((due.run_s, due.settled_s, due.missed), (None, newest_s, Missed::NONE));
    let waiting = Past { settled_s: due.settled_s, since_s: None };
    let due = ask("2026-06-09T03:10Z", waiting, &WAITS);
    assert_eq!((due.run_s, due.missed), (Some(at("2026-06-09T03:10Z")), Missed::NONE));
}

#[test]
fn a_slot_that_is_too_late_is_only_reported() {
    let habits = Habits { catch_up_s: Some(12 * HOUR), ..PLAIN };
    let before = past("2026-06-01T03:10Z");
    assert!(ask("2026-06-03T15:10Z", before, &habits).run_s.is_some());
    let due = ask("2026-06-03T15:10:01Z", before, &habits);
    assert_eq!((due.run_s, due.missed), (None, missed(2)));
    let after = Past { settled_s: due.settled_s, ..before };
    assert_eq!(ask("2026-06-03T15:11Z", after, &habits).missed, Missed::NONE);
    assert_eq!(ask("2026-06-04T03:10Z", after, &habits).run_s, Some(at("2026-06-04T03:10Z")));
}

/// A week of a weekly schedule must not become 2,016 missed slots when it is changed to `every 5m`.
#[test]
fn slots_from_before_a_change_are_not_missed() {
    let often = schedule(&["every 5m"], "UTC");
    let changed = Past { since_s: Some(at("2026-06-08T12:00Z")), ..past("2026-06-01T03:10Z") };
    let soon = due(at("2026-06-08T12:00:10Z"), &often, &changed, &PLAIN);
    assert!(soon.run_s.is_some());
    assert_eq!(soon.missed, Missed::NONE);
    let hour = due(at("2026-06-08T13:00Z"), &often, &changed, &PLAIN);
    assert_eq!(hour.missed, missed(11));
    // What would have been its slot today is run, but by an app that waits.
    let changed = Past { since_s: Some(at("2026-06-08T12:00Z")), ..past("2026-06-08T02:00Z") };
    assert_eq!(ask("2026-06-08T12:00Z", changed, &PLAIN).run_s, Some(at("2026-06-08T03:10Z")));
    let waits = ask("2026-06-08T12:00Z", changed, &WAITS);
    assert_eq!((waits.run_s, waits.settled_s), (None, Some(at("2026-06-08T03:10Z"))));
    assert_eq!(waits.missed, Missed::NONE);
    // A change in the future was noted by a wrong clock, and hides nothing.
    let future = Past { since_s: Some(at("2027-01-01T00:00Z")), ..past("2026-06-01T03:10Z") };
    assert_eq!(ask("2026-06-09T08:00Z", future, &PLAIN).missed, missed(7));
}

#[test]
fn a_clock_that_is_set_back_repeats_nothing() {
    let ran = past("2026-06-08T03:10Z");
    for now in ["2026-06-08T03:09Z", "2026-06-07T03:10Z"] {
        let due = ask(now, ran, &PLAIN);
        let expected = (None, ran.settled_s, Clock::Plausible);
        assert_eq!((due.run_s, due.settled_s, due.clock), expected, "{now}");
    }
    let due = ask("2026-06-07T03:09Z", ran, &PLAIN);
    assert_eq!((due.run_s, due.settled_s), (None, Some(at("2026-06-07T03:09Z"))));
    assert_eq!(due.clock, Clock::SetBack { by_s: DAY + MINUTE });
    assert_eq!(due.missed, Missed::NONE);
    let after = Past { settled_s: due.settled_s, ..ran };
    let next = ask("2026-06-07T03:10Z", after, &PLAIN);
    assert_eq!((next.run_s, next.clock), (Some(at("2026-06-07T03:10Z")), Clock::Plausible));
}

/// A slot that ran stays settled, also if another schedule was in force when the clock was set
/// back.
#[test]
fn a_clock_that_is_set_back_forgets_no_slot_of_other_schedules() {
    let monthly = schedule(&["monthly 1 03:10"], "UTC");
    let due_monthly = due(at("2026-06-08T03:11Z"), &monthly, &past("2026-07-01T03:10Z"), &PLAIN);
    let after = Past { settled_s: due_monthly.settled_s, since_s: None };
    assert_eq!(ask("2026-06-08T12:00Z", after, &PLAIN).run_s, None);
    assert_eq!(ask("2026-06-09T12:00Z", after, &PLAIN).run_s, Some(at("2026-06-09T03:10Z")));
}

/// A computer without a battery begins in 1970: that is no reason to forget what is settled.
#[test]
fn a_clock_before_this_program_decides_nothing() {
    let ran = past("2026-06-08T03:10Z");
    for now_s in [i64::MIN, 0, CLOCK_MIN_S - 1] {
        for past in [ran, Past::default()] {
            let due = due(now_s, &nightly(), &past, &PLAIN);
            let expected = (None, past.settled_s, Missed::NONE, Clock::Wrong);
            assert_eq!((due.run_s, due.settled_s, due.missed, due.clock), expected);
        }
    }
    assert_eq!(due(CLOCK_MIN_S, &nightly(), &ran, &PLAIN).run_s, None);
    assert!(due(CLOCK_MIN_S, &nightly(), &Past::default(), &PLAIN).run_s.is_some());
}

#[test]
fn years_of_absence_are_counted_and_end_somewhere() {
    let often = schedule(&["*/5 * * * *"], "Europe/Berlin");
    let ten_years = due(at("2036-06-01T03:10Z"), &often, &past("2026-06-08T03:10Z"), &PLAIN);
    let slots = (at("2036-06-01T03:10Z") - at("2026-06-08T03:10Z")) / 300 - 1;
    assert_eq!(ten_years.missed, missed(slots.unsigned_abs()));
    for settled_s in [i64::MIN, 0] {
        let damaged = Past { settled_s: Some(settled_s), since_s: None };
        let due = due(at("2036-06-01T03:10Z"), &often, &damaged, &PLAIN);
        let expected = Missed { slots: 3_653 * 288 - 1, is_exact: false };
        assert_eq!((due.missed, due.run_s), (expected, Some(at("2036-06-01T03:10Z"))));
    }
}

#[test]
fn hostile_states_are_no_panic() {
    let extremes = [i64::MIN, -1, 0, CLOCK_MIN_S, 1 << 40, i64::MAX];
    for line in ["every 5m", "monthly 31 23:59", "never"] {
        let schedule = schedule(&[line], "Asia/Kolkata");
        for (settled_s, now_s) in extremes.iter().flat_map(|s| extremes.map(|now_s| (*s, now_s))) {
            for since_s in extremes {
                let past = Past { settled_s: Some(settled_s), since_s: Some(since_s) };
                for catch_up_s in [0, i64::MAX] {
                    let habits = Habits { catch_up_s: Some(catch_up_s), ..PLAIN };
                    let due = due(now_s, &schedule, &past, &habits);
                    assert!(due.run_s.is_none_or(|slot_s| slot_s <= now_s && slot_s > settled_s));
                }
            }
        }
    }
}

#[test]
fn never_is_never_due() {
    let never = schedule(&[], "UTC");
    let due = due(at("2026-06-08T12:00Z"), &never, &Past::default(), &PLAIN);
    assert_eq!((due.run_s, due.settled_s, due.missed), (None, None, Missed::NONE));
}
