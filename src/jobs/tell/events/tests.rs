//! Goal: what is reported is what a person would call an event: a slot that was given up, not an
//! attempt. Method: short histories of runs.

use super::*;
use crate::jobs::state::{Alarm, Began, GoodRun, RepositoryState, settle_death};
use crate::settings::environment::Environment;

const NOW_S: i64 = 1_800_000_000;
const HOUR_S: i64 = 3_600;

fn run(slot: Option<i64>, attempt: u32, status: RunStatus) -> RunRecord {
    RunRecord {
        run: format!("{slot:?}-{attempt}"),
        slot,
        attempt,
        status,
        is_transient: true,
        ended: NOW_S,
        repository: "box".to_owned(),
        ..RunRecord::default()
    }
}

/// Returns the ids of runs that are told as failed at a time, and how many wait no longer.
fn told(runs: &[RunRecord], now_s: i64) -> (Vec<String>, usize) {
    let mut state = AppState::default();
    runs.iter().for_each(|run| state.untold.add_run(run));
    let app = AppSettings::default();
    let times = Timetable::of("wiki", &app, &Environment::default()).unwrap();
    let view =
        AppView { app: &app, state: &state, times: &times, seen_s: None, is_watched: false, now_s };
    let sayings = view.sayings();
    let failed = sayings.iter().filter_map(|one| {
        let Happened::Together(events) = &one.saying.happening.what else { return None };
        events.iter().find_map(|event| match event {
            Happened::RunEnded { run, outcome: Outcome::Failed } => Some(run.clone()),
            _ => None,
        })
    });
    (failed.collect(), sayings.iter().map(|one| one.runs).max().unwrap_or(0))
}

#[test]
fn an_attempt_that_will_be_repeated_is_not_told() {
    use RunStatus::{Done, Failed};
    let slot = Some(NOW_S);
    let attempt = |n| run(slot, n, Failed);
    assert_eq!(told(&[attempt(1)], NOW_S), (vec![], 0));
    assert_eq!(told(&[attempt(1), run(slot, 2, Done)], NOW_S), (vec![], 2));
    let given_up: Vec<RunRecord> = (1..=4).map(attempt).collect();
    assert_eq!(told(&given_up, NOW_S), (vec![attempt(4).run], 4));
    // The next slot came before the repetition.
    let next = run(Some(NOW_S + HOUR_S), 1, Failed);
    assert_eq!(told(&[attempt(1), next.clone()], NOW_S), (vec![attempt(1).run], 1));
    assert_eq!(told(&[next], NOW_S + 7 * HOUR_S).1, 1, "nobody repeated it");
    // By hand, or for a reason that stays.
    assert_eq!(told(&[run(None, 1, Failed)], NOW_S).1, 1);
    let lasting = RunRecord { is_transient: false, ..attempt(1) };
    assert_eq!(told(&[lasting], NOW_S).1, 1);
    let began = Began { run: "r".to_owned(), slot_s: slot, at_s: NOW_S, ..Began::default() };
    let mut state = AppState { began: Some(began), ..AppState::default() };
    let died = settle_death("wiki", &mut state).unwrap();
    assert_eq!(told(std::slice::from_ref(&died), NOW_S), (vec![died.run], 1));
}

fn events(state: &AppState, seen_s: Option<i64>) -> Vec<Happened> {
    let settings = AppSettings::default();
    let mut times = Timetable::of("wiki", &settings, &Environment::default()).unwrap();
    times.max_age_s = Some(HOUR_S);
    let view =
        AppView { app: &settings, state, times: &times, seen_s, is_watched: false, now_s: NOW_S };
    let mut sayings = view.sayings();
    match sayings.pop().map(|one| one.saying.happening.what) {
        Some(Happened::Together(events)) => events,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_app_is_overdue_by_its_last_good_run_or_by_when_it_was_first_seen() {
    let overdue = |since_s| {
        let trouble = Trouble::of_app(TroubleKind::Overdue);
        Happened::Holds { trouble, since_s }
    };
    let mut state = AppState { began: Some(Began::default()), ..AppState::default() };
    assert!(!events(&state, None).iter().any(|event| matches!(event, Happened::Holds { .. })));
    assert!(!events(&state, Some(NOW_S - 5)).contains(&overdue(NOW_S - 5 + HOUR_S)));
    let late_s = NOW_S - 2 * HOUR_S;
    assert!(events(&state, Some(late_s)).contains(&overdue(late_s + HOUR_S)));
    let good = GoodRun { at_s: NOW_S - 9, ..GoodRun::default() };
    let known = RepositoryState { good: Some(good), ..RepositoryState::default() };
    state.repositories.insert("box".to_owned(), known);
    let ended = Happened::Ended(Trouble::of_app(TroubleKind::Overdue));
    assert!(events(&state, Some(late_s)).contains(&ended));
}

#[test]
fn damage_an_alarm_and_their_ends_are_told_with_the_run() {
    let damage = Trouble::of_target(TroubleKind::Damage, "box");
    let mut state = AppState::default();
    let mut failed = run(None, 1, RunStatus::Failed);
    failed.fault = Some(Fault::Damage);
    state.untold.add_run(&failed);
    let all = events(&state, None);
    assert!(matches!(&all[0], Happened::Holds { trouble, .. } if *trouble == damage), "{all:?}");
    assert!(matches!(&all[1], Happened::RunEnded { outcome: Outcome::Failed, .. }), "{all:?}");
    state.untold.runs = vec![run(None, 1, RunStatus::Done)];
    let alarm = Alarm { kind: AlarmKind::Shrunk, what: "x".to_owned(), since_s: 5 };
    alarm.note(&mut state.alarms);
    let all = events(&state, None);
    assert!(all.contains(&Happened::Ended(damage)), "{all:?}");
    let shrunk = Trouble::of_app(TroubleKind::Shrunk);
    assert!(all.contains(&Happened::Holds { trouble: shrunk, since_s: 5 }), "{all:?}");
    let changed = Trouble::of_app(TroubleKind::ChangedTooMuch);
    assert!(all.contains(&Happened::Ended(changed)), "{all:?}");
}
