//! Plans that need `--force`, and plans that never do.

use super::{DAY, HOUR, START, berlin, policy, series};
use crate::retention::guard::{Applied, Excess, SeriesHistory, excess};
use crate::retention::rhythm::{Moment, usual_gap_s};
use crate::retention::{DatedSnapshot, plan};

/// How a policy is applied: number of days, interval in days, length of the trash window in
/// seconds, and whether the machine remembers policies.
#[derive(Clone, Copy, Debug)]
struct Habit {
    days: i64,
    step: i64,
    trash_s: i64,
    remembers: bool,
}

/// Applies a policy at the end of days as the program does; returns the first day on which it was
/// refused.
///
/// Without memory, the user is asked once, when the policy is new.
fn apply_by_habit(policy_text: &str, habit: Habit, of_day: &[i64]) -> Option<(i64, Excess)> {
    let policy = policy(policy_text);
    let (mut kept, mut gone, mut last, mut gap_s) =
        (Vec::<DatedSnapshot>::new(), Vec::<(i64, Moment)>::new(), None, None);
    for day in 0..habit.days {
        for time_s in of_day {
            let sequence = kept.last().map_or(1, |item| item.sequence + 1);
            kept.push(DatedSnapshot {
                time_s: START + day * DAY + time_s,
                sequence,
                ..DatedSnapshot::default()
            });
        }
        if day % habit.step != 0 {
            continue;
        }
        let now_s = START + (day + 1) * DAY - 600;
        let decisions = plan(&kept, &policy, &berlin());
        let forgotten: Vec<Moment> = gone.iter().map(|(_, moment)| *moment).collect();
        let history = SeriesHistory { last, forgotten, gap_s };
        if let Some(excess) =
            excess(&kept, &decisions, &history, now_s).filter(|_| habit.remembers || last.is_some())
        {
            return Some((day, excess));
        }
        let (stay, go): (Vec<_>, Vec<_>) =
            kept.iter().cloned().zip(decisions).partition(|(_, decision)| decision.is_kept());
        if habit.remembers || !go.is_empty() {
            last = Some(Applied { at_s: now_s, is_same: true });
        }
        let known: Vec<Moment> =
            kept.iter().map(DatedSnapshot::moment).chain(history.forgotten).collect();
        gap_s = usual_gap_s(&known).filter(|_| habit.remembers);
        kept = stay.into_iter().map(|(item, _)| item).collect();
        gone.extend(go.into_iter().map(|(item, _)| (now_s, item.moment())));
        gone.retain(|(forgotten_s, _)| now_s - forgotten_s < habit.trash_s);
    }
    None
}

/// Every rule and every two of them, with few and many snapshots, on every rhythm, applied every
/// night, week and month, with every trash window.
#[test]
fn a_steady_policy_never_needs_force() {
    let hours: Vec<i64> = (0..23).map(|hour| hour * HOUR + 600).collect();
    let quarters: Vec<i64> = (0..90).map(|quarter| quarter * 900 + 60).collect();
    let rhythms =
        [&hours[..], &quarters, &hours[4..6], &hours[3..4], &[0, 6 * HOUR, 12 * HOUR, 18 * HOUR]];
    let rules = ["last", "hourly", "daily", "weekly", "monthly"];
    let mut policies: Vec<String> =
        ["within 1d", "decay 1y", "hourly 24, daily 7, weekly 4, monthly 12"]
            .map(str::to_owned)
            .into();
    for (at, rule) in rules.iter().enumerate() {
        policies.extend([1, 3, 5, 7, 14, 24].map(|count| format!("{rule} {count}")));
        for other in &rules[..at] {
            policies.extend(
                [(2, 3), (7, 7), (5, 12), (12, 1)]
                    .map(|(one, two)| format!("{other} {one}, {rule} {two}")),
            );
        }
    }
    let mut refused = Vec::new();
    for (days, step) in [(32, 1), (50, 7), (95, 30)] {
        for (trash_s, remembers) in
            [(0, true), (DAY, true), (8 * DAY, true), (0, false), (8 * DAY, false)]
        {
            let habit = Habit { days, step, trash_s, remembers };
            for (policy, of_day) in
                policies.iter().flat_map(|policy| rhythms.map(|of_day| (policy, of_day)))
            {
                let found = apply_by_habit(policy, habit, of_day);
                refused.extend(found.map(|found| {
                    format!("{policy}, {} a day, {habit:?}: {found:?}", of_day.len())
                }));
            }
        }
    }
    assert!(refused.is_empty(), "{} are refused:\n{}", refused.len(), refused.join("\n"));
}

#[test]
fn a_new_policy_and_a_flood_are_stopped() {
    let policy_of = policy;
    let judged = |items: &[DatedSnapshot], text: &str, history: &SeriesHistory, now_s: i64| {
        excess(items, &plan(items, &policy_of(text), &berlin()), history, now_s)
    };
    let days = series((0..30).map(|day| START + day * DAY));
    let now_s = START + 30 * DAY;
    let unknown = SeriesHistory::default();
    for text in ["last 1", "daily 3", "monthly 1", "yearly 1", "weekly 2", "within 2d", "last 14"] {
        assert_eq!(judged(&days, text, &unknown, now_s), Some(Excess::Series), "{text}");
    }
    for text in ["last 20", "daily 15", "within 20d"] {
        assert_eq!(judged(&days, text, &unknown, now_s), None, "{text}");
    }
    // Attempts within minutes are no schedule.
    let tries = series((0..6).map(|minute| START + minute * 60));
    assert_eq!(judged(&tries, "last 2", &unknown, START + DAY), Some(Excess::Series));
    // A policy that keeps 3, after one that kept 30.
    let other = SeriesHistory {
        last: Some(Applied { at_s: START + 29 * DAY, is_same: false }),
        ..SeriesHistory::default()
    };
    assert_eq!(
        judged(&days, "daily 3", &other, now_s),
        Some(Excess::OtherPolicy { going: 27, of: 30 })
    );
    assert_eq!(judged(&days, "daily 25", &other, now_s), None);
    // Twenty at once in a series of one a day.
    let at_s = START + 30 * DAY;
    let mut flooded = days.clone();
    flooded.extend((0..20).map(|at| DatedSnapshot {
        time_s: at_s + 600 + at,
        sequence: 100,
        ..DatedSnapshot::default()
    }));
    let same =
        SeriesHistory { last: Some(Applied { at_s, is_same: true }), ..SeriesHistory::default() };
    let flood = Excess::Flood { going: 20, of: 30, came: 20 };
    assert_eq!(judged(&flooded, "last 30", &same, at_s + DAY), Some(flood));
    // Rules that reach far back lose nothing by it, and may remove the flood.
    assert_eq!(judged(&flooded, "daily 30", &same, at_s + DAY), None);
}
