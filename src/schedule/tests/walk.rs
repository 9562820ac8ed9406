//! Random schedules against the plain model, over years in which clocks change in odd ways.

use std::collections::BTreeSet;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::plain::{Plain, below, slots, walk};
use super::{DAY, at, number, say, spread, zone};
use crate::schedule::{Schedule, parse};

/// Zones, and a year of each. Changes at 2:00, at midnight, before midnight and just after it; of
/// half an hour; for Ramadan; none; and a day that is left out.
pub(super) const YEARS: &[(&str, i64)] = &[
    ("Europe/Berlin", 2026),
    ("America/New_York", 2026),
    ("Australia/Lord_Howe", 2026),
    ("Asia/Kolkata", 2026),
    ("Africa/Casablanca", 2026),
    ("Pacific/Apia", 2011),
    ("Africa/Cairo", 2026),
    ("America/Nuuk", 2026),
    ("America/St_Johns", 2010),
    ("Asia/Tehran", 2022),
    ("Europe/Dublin", 2026),
    ("Antarctica/Troll", 2026),
];

/// Random schedules for each zone.
const SCHEDULES: u64 = 60;

#[test]
fn random_schedules_have_the_slots_of_the_plain_model() {
    let (first, count) = (number("DRUMLIN_TEST_SEED", 1), number("DRUMLIN_SCHEDULES", SCHEDULES));
    let mut compared = 0;
    for (zone_name, year) in YEARS {
        let [start_s, end_s] = [*year, year + 1].map(|year| at(&format!("{year}-01-01T00:00Z")));
        let minutes = walk(&zone(zone_name), start_s, end_s);
        for seed in first..first + count {
            let mut random = SmallRng::seed_from_u64(seed);
            let lines: Vec<Plain> = (0..random.random_range(1..4))
                .map(|_| Plain::random(&mut random, &spread()))
                .collect();
            let texts: Vec<&str> = lines.iter().map(|line| &line.text[..]).collect();
            let schedule = parse(&texts, zone(zone_name), &spread()).expect("it is right");
            let model = slots(&lines, &minutes);
            let what = format!("seed {seed}: {texts:?} in {zone_name}");
            assert_eq!(schedule.count(start_s - 1, end_s - 1), model.len() as u64, "{what}");
            compared += model.len();
            check_near_changes(&schedule, zone_name, &model, &what);
            for _ in 0..20 {
                let probe_s = start_s + below(&mut random, end_s - start_s);
                check_around(&schedule, &model, probe_s, &what);
            }
        }
    }
    assert!(compared > 100_000);
    say(&format!("{compared} slots of {count} schedules in {} zones", YEARS.len()));
}

/// Compares all slots of the days around each change of the clock, one by one.
fn check_near_changes(schedule: &Schedule, zone_name: &str, model: &[i64], what: &str) {
    let (first_s, last_s) = match (model.first(), model.last()) {
        (Some(first_s), Some(last_s)) => (*first_s, *last_s),
        _ => return,
    };
    let zone = zone(zone_name);
    let start = jiff::Timestamp::from_second(first_s + 2 * DAY).expect("a year of this century");
    let changes = zone.following(start).map(|change| change.timestamp().as_second());
    for change_s in changes.take_while(|change_s| change_s + 2 * DAY < last_s) {
        let near = |slot_s: &i64| slot_s.abs_diff(change_s) <= 2 * DAY as u64;
        let expected: Vec<i64> = model.iter().copied().filter(near).collect();
        let found = schedule.upcoming_s(change_s - 2 * DAY - 1, expected.len());
        assert_eq!(found, expected, "{what}");
    }
}

/// Compares what is before and after a moment; and the count between two slots is exact.
fn check_around(schedule: &Schedule, model: &[i64], probe_s: i64, what: &str) {
    let at = model.partition_point(|slot_s| *slot_s <= probe_s);
    if let Some(next_s) = model.get(at) {
        assert_eq!(schedule.next_s(probe_s), Some(*next_s), "{what}, after {probe_s}");
        assert_eq!(schedule.previous_s(*next_s), Some(*next_s), "{what}");
    }
    if let Some(last_s) = at.checked_sub(1).map(|at| model[at]) {
        assert_eq!(schedule.previous_s(probe_s), Some(last_s), "{what}, before {probe_s}");
        let from = at.saturating_sub(50);
        let count = schedule.count(model[from], probe_s);
        assert_eq!(count, (at - from - 1) as u64, "{what}, to {probe_s}");
    }
}

/// Jitter moves all slots by the same time, and changes none otherwise.
#[test]
fn jitter_moves_every_slot_alike() {
    for seed in 1..=20 {
        let mut random = SmallRng::seed_from_u64(seed);
        let line = Plain::random(&mut random, &spread());
        let plain = parse(&[&line.text], zone("Europe/Berlin"), &spread()).expect("it is right");
        let later_s = below(&mut random, DAY);
        let later = plain.clone().later_by(later_s);
        let start_s = at("2026-03-20T00:00Z");
        let slots_s = plain.upcoming_s(start_s, 100);
        let moved_s: Vec<i64> = slots_s.iter().map(|slot_s| slot_s + later_s).collect();
        assert_eq!(later.upcoming_s(start_s + later_s, 100), moved_s, "{}", line.text);
        assert_eq!(later.previous_s(moved_s[50]), Some(moved_s[50]), "{}", line.text);
        assert_eq!(later.count(moved_s[0], moved_s[99]), 99, "{}", line.text);
        assert_eq!(moved_s.iter().collect::<BTreeSet<_>>().len(), 100, "{}", line.text);
    }
}
