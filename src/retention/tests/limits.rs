//! Limits of the guard, of the calendar and of decay, on both of their sides.

use super::{DAY, HOUR, START, berlin, policy, series};
use crate::retention::decay::Decay;
use crate::retention::decision::{DatedSnapshot, Decision, Miss, Period};
use crate::retention::guard::{Applied, Excess, SeriesHistory, excess};
use crate::retention::plan;

/// Decisions of which these are kept; the others fall to a rule of the calendar.
fn decided(kept: &[bool]) -> Vec<Decision> {
    let thinned = || Decision { keeps: Vec::new(), misses: vec![Miss::SamePeriod(Period::Day)] };
    kept.iter().map(|is_kept| if *is_kept { Decision::unasked() } else { thinned() }).collect()
}

/// Judges a policy that is new to a series of which no policy is known.
fn judged(items: &[DatedSnapshot], kept: &[bool]) -> Option<Excess> {
    let now_s = items.last().map_or(START, |item| item.time_s);
    excess(items, &decided(kept), &SeriesHistory::default(), now_s)
}

#[test]
fn a_removed_snapshot_counts_as_thinned_up_to_a_day_from_a_kept_one() {
    // Three go for one that stays: they count as lost if it is farther than a day.
    let at = |gap_s: i64| series([START, START + 1, START + 2, START + 2 + gap_s]);
    let kept = [false, false, false, true];
    let near = series([START + 2, START + 2, START + 2, START + 2 + DAY]);
    assert_eq!(judged(&near, &kept), None);
    assert_eq!(judged(&at(DAY + 3 * HOUR), &kept), Some(Excess::Series));
}

#[test]
fn a_young_series_of_a_schedule_may_lose_most() {
    // Nothing is near a kept one, so all that goes counts as lost.
    let lost = |count: usize| {
        let going = Decision { keeps: Vec::new(), misses: vec![Miss::Tags] };
        let mut decisions = vec![going; count - 1];
        decisions.push(Decision::unasked());
        decisions
    };
    let judge = |items: &[DatedSnapshot]| {
        let now_s = items.last().map_or(START, |item| item.time_s);
        excess(items, &lost(items.len()), &SeriesHistory::default(), now_s)
    };
    assert_eq!(judge(&series([START, START + DAY, START + 2 * DAY])), None);
    let old = series([START, START + DAY, START + 2 * DAY + 1]);
    assert_eq!(judge(&old), Some(Excess::Series));
    let paced = |gap_s: i64| series((0..4).map(|at| START + at * gap_s));
    assert_eq!(judge(&paced(15 * 60)), None);
    assert_eq!(judge(&paced(15 * 60 - 1)), Some(Excess::Series));
}

#[test]
fn half_of_what_another_policy_kept_may_go() {
    let items = series((0..4).map(|at| START + at * DAY));
    let last = Some(Applied { at_s: START + 3 * DAY, is_same: false });
    let history = SeriesHistory { last, ..SeriesHistory::default() };
    let judge = |kept: &[bool]| excess(&items, &decided(kept), &history, START + 3 * DAY);
    assert_eq!(judge(&[false, false, true, true]), None);
    let most = Some(Excess::OtherPolicy { going: 3, of: 4 });
    assert_eq!(judge(&[false, false, false, true]), most);
}

#[test]
fn what_came_since_another_policy_is_judged_by_itself() {
    // Two old ones stay. Of three that came later, two go and nothing near replaces them.
    let items = series([START, START + DAY, START + 10 * DAY, START + 20 * DAY, START + 30 * DAY]);
    let gone = Decision { keeps: Vec::new(), misses: vec![Miss::Tags] };
    let kept = Decision::unasked();
    let decisions = [kept.clone(), kept.clone(), gone.clone(), gone, kept];
    let last = Some(Applied { at_s: START + DAY, is_same: false });
    let history = SeriesHistory { last, ..SeriesHistory::default() };
    assert_eq!(excess(&items, &decisions, &history, START + 30 * DAY), Some(Excess::Series));
    let later = SeriesHistory {
        last: Some(Applied { at_s: START + 30 * DAY, is_same: false }),
        ..SeriesHistory::default()
    };
    assert_eq!(excess(&items, &decisions, &later, START + 30 * DAY), None);
}

#[test]
fn both_hours_of_the_end_of_summer_time_are_hours() {
    // 2026-10-25: from 00:00 UTC it is 02:00 in Berlin, and from 01:00 UTC it is 02:00 again.
    let change = 1_792_886_400;
    let half_hours = series((-4..6).map(|at| change + at * HOUR / 2));
    let decisions = plan(&half_hours, &policy("hourly 10"), &berlin());
    let kept: Vec<i64> = half_hours
        .iter()
        .zip(&decisions)
        .filter(|(_, decision)| decision.is_kept())
        .map(|(item, _)| (item.time_s - change) / (HOUR / 2))
        .collect();
    assert_eq!(kept, [-3, -1, 1, 3, 5], "one of each hour");
    // Elsewhere an hour begins at half past.
    let kolkata = jiff::tz::TimeZone::get("Asia/Kolkata").unwrap();
    let decisions = plan(&half_hours, &policy("hourly 10"), &kolkata);
    let count = decisions.iter().filter(|decision| decision.is_kept()).count();
    assert_eq!(count, 6);
}

#[test]
fn decay_ends_after_its_horizon() {
    let decay = Decay { horizon_s: 10 * DAY, parts: Decay::PARTS };
    let newest_s = START + 100 * DAY;
    let longest = (0..40).rev().find(|day| !decay.is_over(newest_s - day * DAY, newest_s));
    let last = longest.expect("something is within the horizon");
    assert!((9..=12).contains(&last), "{last} days");
    // Exactly at the horizon it is not over.
    let end_s = |time_s: i64| (0..).find(|more| decay.is_over(time_s, time_s + more)).unwrap_or(0);
    let first_s = end_s(START);
    assert!(!decay.is_over(START, START + first_s - 1) && decay.is_over(START, START + first_s));
}

#[test]
fn periods_have_nouns_and_named_ones_stay() {
    let nouns = Period::ALL.map(Period::noun);
    assert_eq!(nouns, ["hour", "day", "week", "month", "year"]);
    assert!(Decision::unasked().is_kept() && !Decision::default().is_kept());
}
