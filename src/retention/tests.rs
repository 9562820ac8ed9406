//! Goal: no policy drifts, decay thins smoothly and leaves few, and a doubtful date changes nothing
//! for the other snapshots. Method: random series and policies, applied step by step and once;
//! examples of what the rules mean to a user.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::simulate::{rhythm_of, simulate};
use super::*;

mod dates;
mod floods;
mod limits;
mod spelling;
mod steady;

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
const YEAR: i64 = 31_557_600;
/// 2026-03-01T00:00:00Z.
const START: i64 = 1_772_323_200;

fn berlin() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

fn policy(text: &str) -> Policy {
    let mut policy = Policy::default();
    policy.add(text).unwrap();
    policy
}

fn series(times: impl IntoIterator<Item = i64>) -> Vec<DatedSnapshot> {
    let item = |(sequence, time_s)| DatedSnapshot { time_s, sequence, ..DatedSnapshot::default() };
    (1..).zip(times).map(item).collect()
}

fn kept_of(items: &[DatedSnapshot], policy: &Policy) -> Vec<DatedSnapshot> {
    let decisions = plan(items, policy, &berlin());
    items
        .iter()
        .zip(decisions)
        .filter(|(_, decision)| decision.is_kept())
        .map(|(item, _)| item.clone())
        .collect()
}

fn times(items: &[DatedSnapshot]) -> Vec<i64> {
    items.iter().map(|item| item.time_s).collect()
}

/// Adds snapshots one by one, and applies the policy whenever `applies` says so, and at the end.
fn step_by_step(
    items: &[DatedSnapshot],
    policy: &Policy,
    mut applies: impl FnMut(usize) -> bool,
) -> Vec<DatedSnapshot> {
    let mut kept = Vec::new();
    for (at, item) in items.iter().enumerate() {
        kept.push(item.clone());
        if applies(at) {
            kept = kept_of(&kept, policy);
        }
    }
    kept_of(&kept, policy)
}

/// A series with gaps of minutes to weeks, also none, and sometimes a tag.
fn any_series() -> impl Strategy<Value = Vec<DatedSnapshot>> {
    let gap =
        prop_oneof![Just(0), 60..2 * HOUR, Just(HOUR), Just(DAY), DAY / 2..3 * DAY, DAY..40 * DAY];
    proptest::collection::vec((gap, 0..9u8), 1..250).prop_map(|gaps| {
        let mut time_s = START;
        let mut items = Vec::new();
        for (sequence, (gap, dice)) in (1..).zip(gaps) {
            time_s += gap;
            let tags = if dice == 0 { vec!["gold".to_owned()] } else { Vec::new() };
            items.push(DatedSnapshot {
                time_s,
                sequence,
                tags,
                is_protected: dice == 1,
                ..DatedSnapshot::default()
            });
        }
        items
    })
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let count = || proptest::option::of(1..20u32);
    let decay =
        (30 * DAY..5 * YEAR, 1..30u32).prop_map(|(horizon_s, parts)| Decay { horizon_s, parts });
    let periods = [count(), count(), count(), count(), count()];
    let within = proptest::option::of(HOUR..400 * DAY);
    (count(), periods, within, any::<bool>(), proptest::option::of(decay)).prop_map(
        |(last, periods, within_s, tag, decay)| {
            let tags = if tag { vec!["gold".to_owned()] } else { Vec::new() };
            Policy { last, periods, within_s, tags, decay }
        },
    )
}

/// Regular snapshots, as many as a year has days, hours, …, and a decay.
fn regular() -> impl Strategy<Value = (Vec<DatedSnapshot>, Decay)> {
    let rhythm = prop_oneof![Just(HOUR), Just(DAY), Just(7 * DAY), 700..3 * DAY];
    (rhythm, 100..1500usize, 20 * DAY..6 * YEAR, 2..40u32, 0..DAY).prop_map(
        |(rhythm, count, horizon_s, parts, offset)| {
            let times = (0..count as i64).map(|at| START + offset + at * rhythm);
            (series(times), Decay { horizon_s, parts })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// No drift: whenever it is applied in between, the end is the same.
    #[test]
    fn applying_often_ends_where_applying_once_ends(
        items in any_series(),
        policy in any_policy(),
        seed in any::<u64>(),
    ) {
        let once = kept_of(&items, &policy);
        prop_assert_eq!(times(&step_by_step(&items, &policy, |_| true)), times(&once));
        let mut dice = seed | 1;
        let sometimes = step_by_step(&items, &policy, |_| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005);
            dice = dice.wrapping_add(1_442_695_040_888_963_407);
            dice >> 62 == 0
        });
        prop_assert_eq!(times(&sometimes), times(&once));
        // And applying again changes nothing.
        prop_assert_eq!(times(&kept_of(&once, &policy)), times(&once));
    }

    /// No holes: decay leaves no gap longer than two spans and an interval of the series.
    #[test]
    fn gaps_grow_smoothly_with_age((items, decay) in regular()) {
        let policy = Policy { decay: Some(decay), ..Policy::default() };
        let kept = step_by_step(&items, &policy, |at| at % 7 == 0);
        let newest = items.last().unwrap().time_s;
        let rhythm = items[1].time_s - items[0].time_s;
        for pair in kept.windows(2) {
            let (age, gap) = (newest - pair[0].time_s, pair[1].time_s - pair[0].time_s);
            let allowed = 2 * age / i64::from(decay.parts);
            prop_assert!(gap <= allowed + rhythm, "a gap of {gap} s at an age of {age} s");
        }
        // The oldest is as old as the horizon, or as there are snapshots, but for one step and one
        // span.
        let oldest = newest - kept[0].time_s;
        let wanted = decay.horizon_s.min(newest - items[0].time_s);
        prop_assert!(oldest >= wanted - rhythm, "the oldest is {oldest} s old, wanted {wanted}");
        prop_assert!(oldest <= decay.horizon_s + decay.horizon_s / i64::from(decay.parts));
    }

    /// At most O(log): a fixed number for each doubling of the age.
    #[test]
    fn few_remain((items, decay) in regular()) {
        let kept = kept_of(&items, &Policy { decay: Some(decay), ..Policy::default() });
        let newest = items.last().unwrap().time_s;
        let young_s = decay::SPAN_MIN_S * i64::from(decay.parts);
        let old = kept.iter().filter(|item| newest - item.time_s >= young_s).count() as f64;
        let doublings = (decay.horizon_s as f64 / young_s as f64).log2().max(0.0) + 2.0;
        let most = (2.0 * f64::from(decay.parts) + 4.0) * doublings;
        prop_assert!(old <= most, "{old} of {}", items.len());
    }

    /// Doubtful snapshots are kept and change nothing for the rest.
    #[test]
    fn doubtful_dates_push_nothing_out(
        items in any_series(),
        policy in any_policy(),
        forged in proptest::collection::vec((0..500usize, -500..500i64), 0..40),
    ) {
        let alone = plan(&items, &policy, &berlin());
        let mut mixed = items.clone();
        for (number, (at, days)) in forged.iter().enumerate() {
            let time_s = items[at % items.len()].time_s + days * DAY;
            let doubt = Some(if number % 2 == 0 { Doubt::Ahead } else { Doubt::Behind });
            let forged = DatedSnapshot { time_s, sequence: 9_999, doubt, ..Default::default() };
            mixed.push(forged);
        }
        let decisions = plan(&mixed, &policy, &berlin());
        prop_assert_eq!(&decisions[..items.len()], &alone[..]);
        prop_assert!(decisions[items.len()..].iter().all(Decision::is_kept));
    }

    /// Every snapshot has a reason, whichever way it goes, and the newest stays.
    #[test]
    fn every_decision_has_its_reason(items in any_series(), policy in any_policy()) {
        let decisions = plan(&items, &policy, &berlin());
        let rules = usize::from(policy.last.is_some()) + policy.periods.iter().flatten().count()
            + usize::from(policy.within_s.is_some())
            + usize::from(!policy.tags.is_empty())
            + usize::from(policy.decay.is_some());
        for decision in &decisions {
            let is_by_rule = |keep: &&Keep| !matches!(keep, Keep::Newest | Keep::Protected);
            let by_rules = decision.keeps.iter().filter(is_by_rule).count();
            prop_assert_eq!(by_rules + decision.misses.len(), rules);
        }
        prop_assert!(decisions.last().unwrap().is_kept());
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    /// Applying the policy every day for two years gives what a simulation says.
    #[test]
    fn the_simulation_tells_what_will_be(
        rhythm in prop_oneof![Just(6 * HOUR), Just(DAY), Just(7 * DAY)],
        before in 2..60i64,
        policy in any_policy(),
    ) {
        let items = series((0..before).map(|at| START + at * rhythm));
        let told = simulate(&items, &policy, &berlin(), 2 * YEAR);
        prop_assert_eq!(told.rhythm_s, rhythm);
        let steps = 2 * YEAR / rhythm;
        let all = series((0..before + steps).map(|at| START + at * rhythm));
        let newest = all.last().unwrap().time_s;
        let mut last_day = 0;
        let happened = step_by_step(&all, &policy, |at| {
            let day = all[at].time_s / DAY;
            std::mem::replace(&mut last_day, day) != day
        });
        let mut ages: Vec<i64> = happened.iter().map(|item| newest - item.time_s).collect();
        ages.sort_unstable();
        prop_assert_eq!(told.left_s, ages);
    }
}

#[test]
fn calendar_rules_keep_the_newest_of_their_periods() {
    // Every 12 hours for 40 days from 2026-03-01 00:00 UTC, which is 01:00 in Berlin; summer time
    // begins on 2026-03-29.
    let items = series((0..80).map(|at| START + at * DAY / 2));
    let kept = |text: &str| -> Vec<i64> {
        let kept = kept_of(&items, &policy(text));
        kept.iter().map(|item| (item.time_s - START) / (DAY / 2)).collect()
    };
    assert_eq!(kept("last 3"), [77, 78, 79]);
    assert_eq!(kept("daily 3"), [75, 77, 79]);
    // Sundays: 2026-03-29 is day 28, 2026-04-05 is day 35; the newest is of the week of 2026-04-06.
    assert_eq!(kept("weekly 3"), [2 * 28 + 1, 2 * 35 + 1, 79]);
    assert_eq!(kept("monthly 12"), [2 * 30 + 1, 79]);
    assert_eq!(kept("yearly 5"), [79]);
    assert_eq!(kept("within 1d"), [77, 78, 79]);
    assert_eq!(kept("daily 1, monthly 2"), [61, 79]);
    assert_eq!(kept("tag none"), [79], "the newest stays in any case");
}

#[test]
fn days_are_those_of_the_calendar_on_the_wall() {
    // 23:30 and 00:30 in Berlin, twice, around a day of 23 hours; in UTC each pair is within a day.
    let midnight = START + 28 * DAY - HOUR;
    let items = series([
        midnight - HOUR / 2,
        midnight + HOUR / 2,
        midnight + 22 * HOUR + HOUR / 2,
        midnight + 23 * HOUR + HOUR / 2,
    ]);
    let days: Vec<bool> =
        plan(&items, &policy("daily 9"), &berlin()).iter().map(Decision::is_kept).collect();
    assert_eq!(days, [true, false, true, true]);
    let utc: Vec<bool> =
        plan(&items, &policy("daily 9"), &TimeZone::UTC).iter().map(Decision::is_kept).collect();
    assert_eq!(utc, [false, true, false, true]);
    // 2026-10-25, 02:30 comes twice: two hours.
    let twice = START + 238 * DAY + HOUR / 2;
    let items = series([twice, twice + HOUR, twice + 2 * HOUR]);
    assert_eq!(kept_of(&items, &policy("hourly 9")).len(), 3);
}

#[test]
fn moments_that_no_calendar_has_are_kept_apart() {
    for time_s in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
        let items = series([START, time_s]);
        for text in ["hourly 2, daily 2, weekly 2, monthly 2, yearly 2", "decay 2y", "within 1d"] {
            assert!(!kept_of(&items, &policy(text)).is_empty(), "{text}");
        }
        simulate(&items, &policy("decay 2y"), &berlin(), 10 * DAY);
    }
}

#[test]
fn daily_snapshots_decay_as_one_would_draw_it() {
    let items = series((0..730).map(|day| START + day * DAY));
    let kept = kept_of(&items, &policy("decay 2y"));
    let newest = START + 729 * DAY;
    let in_range = |from: i64, to: i64| {
        kept.iter().filter(|item| (from * DAY..to * DAY).contains(&(newest - item.time_s))).count()
    };
    assert_eq!(in_range(0, 16), 16, "every day for two weeks");
    let counts = [
        in_range(16, 32),
        in_range(32, 64),
        in_range(64, 128),
        in_range(128, 256),
        in_range(256, 512),
    ];
    assert!(
        counts.iter().all(|count| (7..=9).contains(count)),
        "about eight for each doubling: {counts:?}"
    );
    assert!((60..70).contains(&kept.len()), "{}", kept.len());
}

#[test]
fn a_series_without_new_snapshots_loses_nothing() {
    let kept =
        kept_of(&series((0..400).map(|day| START + day * DAY)), &policy("decay 1y, daily 7"));
    let years_later = kept_of(&kept, &policy("decay 1y, daily 7"));
    assert_eq!(years_later, kept);
}

#[test]
fn protected_snapshots_stay_and_still_count() {
    let mut items = series((0..10).map(|day| START + day * DAY));
    items[2].is_protected = true;
    items[8].is_protected = true;
    let kept = kept_of(&items, &policy("last 3"));
    assert_eq!(times(&kept), [2, 7, 8, 9].map(|day| START + day * DAY));
}

#[test]
fn a_simulation_counts_every_day_of_a_slow_series_too() {
    let weekly = series((0..10).map(|week| START + week * 7 * DAY));
    let told = simulate(&weekly, &policy("weekly 8"), &berlin(), 60 * DAY + HOUR);
    let days: Vec<i64> = told.counts.iter().map(|count| count.after_s / DAY).collect();
    assert_eq!(days, (0..=60).collect::<Vec<_>>());
    assert_eq!(told.counts[0].kept, 10);
    assert!(told.counts[1..].iter().all(|count| count.kept == 8), "{told:?}");
    let slow = series((0..3).map(|month| START + month * 40 * DAY));
    let told = simulate(&slow, &policy("last 2"), &berlin(), 5 * DAY);
    assert_eq!((told.counts.len(), told.counts[1].kept, told.left_s.len()), (6, 2, 2));
}

#[test]
fn the_rhythm_is_the_usual_gap() {
    assert_eq!(rhythm_of(&series([])), None);
    assert_eq!(rhythm_of(&series([START])), None);
    assert_eq!(
        rhythm_of(&series([START, START + DAY, START + 2 * DAY, START + 30 * DAY])),
        Some(DAY)
    );
    let told = simulate(&[], &policy("daily 7"), &berlin(), 30 * DAY);
    assert!(!told.is_own_rhythm && told.left_s.len() == 7, "{told:?}");
}
