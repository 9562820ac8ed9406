//! Usual gaps of a series, and floods of snapshots.

use super::{DAY, HOUR, policy};
use crate::retention::DatedSnapshot;
use crate::retention::rhythm::{Moment, PriorRhythm, is_flood, usual_gap_s};
use crate::retention::simulate::simulate;

/// Snapshots of a source at these times.
fn moments(source: usize, times_s: &[i64]) -> Vec<Moment> {
    times_s.iter().map(|time_s| Moment { source, time_s: *time_s }).collect()
}

/// One a day for so many days.
fn daily(days: i64) -> Vec<Moment> {
    moments(0, &(0..days).map(|day| day * DAY).collect::<Vec<_>>())
}

#[test]
fn gaps_are_those_in_the_middle_and_rates_add_up() {
    assert_eq!(usual_gap_s(&[]), None);
    assert_eq!(usual_gap_s(&moments(0, &[5])), None);
    let usual = |all: &[Moment]| usual_gap_s(all).unwrap();
    let is_about = |found: i64, wanted: i64| (found - wanted).abs() <= wanted / 1_000;
    assert!(is_about(usual(&daily(9)), DAY));
    // Gaps of 1, 1, 7, 7 and 7 days: the middle one of them in order.
    let uneven: Vec<i64> = [0, 1, 2, 9, 16, 23].map(|day| day * DAY).to_vec();
    assert!(is_about(usual(&moments(0, &uneven)), 7 * DAY));
    let two = [daily(9), moments(1, &[0, 2 * DAY, 4 * DAY, 6 * DAY])].concat();
    assert!(is_about(usual(&two), DAY * 2 / 3), "{}", usual(&two));
    // One with a single snapshot counts like the others.
    assert!(is_about(usual(&[daily(9), moments(1, &[7])].concat()), DAY / 2));
}

#[test]
fn as_many_as_the_rhythm_predicts_twice_and_one_are_no_flood() {
    let before = daily(9);
    let known = PriorRhythm { moments: &before, noted_s: None, is_whole: true };
    // All at the end of three days, so that they are not spread.
    let came = |count: i64| {
        let times: Vec<i64> = (0..count).map(|at| 12 * DAY - at).collect();
        moments(0, &times)
    };
    let flood = |prior: &PriorRhythm, count| is_flood(prior, &came(count), 9 * DAY, 12 * DAY);
    assert!(!flood(&known, 7) && flood(&known, 8));
    // A rhythm that was noted then, and is faster.
    let noted = PriorRhythm { noted_s: Some(12 * HOUR), ..known };
    assert!(!flood(&noted, 13) && flood(&noted, 14));
    // Noted is known, also where the moments are not whole or there are none.
    let alone = PriorRhythm { moments: &[], noted_s: Some(DAY), is_whole: false };
    assert!(!flood(&alone, 7) && flood(&alone, 8));
    // Thinned out: what came together is judged by the time, what is spread is not.
    let thinned = PriorRhythm { is_whole: false, ..known };
    assert!(flood(&thinned, 8));
    let spread: Vec<i64> = (1..=30).map(|at| 9 * DAY + at * 8_000).collect();
    assert!(!is_flood(&thinned, &moments(0, &spread), 9 * DAY, 12 * DAY));
    assert!(is_flood(&known, &moments(0, &spread), 9 * DAY, 12 * DAY));
    // A time that is shorter than the gap predicts none.
    let two = moments(0, &[9 * DAY + 1, 9 * DAY + 2]);
    assert!(is_flood(&known, &two, 9 * DAY, 9 * DAY + 12 * HOUR));
    // Nothing is known: each source may have its first ones.
    let unknown = PriorRhythm { moments: &[], noted_s: None, is_whole: true };
    assert!(!flood(&unknown, 3) && flood(&unknown, 4));
    let of_many: Vec<Moment> = (0..9).flat_map(|one| moments(one, &[12 * DAY])).collect();
    assert!(!is_flood(&unknown, &of_many, 9 * DAY, 12 * DAY), "each source has one");
}

#[test]
fn a_simulation_goes_on_in_the_rhythm_of_the_series() {
    let item = |day: i64| DatedSnapshot {
        time_s: day * DAY,
        sequence: day as u64 + 1,
        ..DatedSnapshot::default()
    };
    let items: Vec<DatedSnapshot> = (0..4).map(item).collect();
    let run = |items: &[DatedSnapshot]| {
        simulate(items, &policy("last 2"), &jiff::tz::TimeZone::UTC, 3 * DAY)
    };
    let found = run(&items);
    assert_eq!(
        (found.rhythm_s, found.is_own_rhythm, found.left_s.clone()),
        (DAY, true, vec![0, DAY])
    );
    let oldest: Vec<(usize, i64)> =
        found.counts.iter().map(|day| (day.kept, day.oldest_s)).collect();
    assert_eq!(oldest, [(4, 3 * DAY), (2, DAY), (2, DAY), (2, DAY)]);
    assert!(!run(&items[..1]).is_own_rhythm, "one alone has none");
}
