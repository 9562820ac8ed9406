//! Random schedules against systemd's calendar, where both can say the same.
//!
//! Two differences are known. systemd leaves out a time that the clock leaves out; here it comes
//! after the gap. systemd takes the first of two equal times for every event; here an event of
//! every hour comes in both.

use jiff::Timestamp;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::plain::{Plain, below};
use super::{DAY, at, has_systemd, number, say, spread, systemd, zone};
use crate::schedule::parse;

/// Zones whose rules no release of the zone database is about to change.
const ZONES: [&str; 5] =
    ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia"];
const CASES: u64 = 150;
const SLOTS: usize = 60;

#[test]
fn systemd_finds_the_same_slots() {
    if !has_systemd() {
        return say("left out: systemd-analyze is not there, or cannot iterate from a time on");
    }
    let (first, count) = (number("DRUMLIN_TEST_SEED", 1), number("DRUMLIN_SYSTEMD_CASES", CASES));
    let (mut compared, mut in_gaps) = (0, 0);
    for seed in first..first + count {
        let mut random = SmallRng::seed_from_u64(seed);
        let line = match random.random_range(0..5) {
            0 => Plain::daily(&mut random),
            1 => Plain::weekly(&mut random),
            2 => Plain::monthly(&mut random),
            _ => Plain::cron(&mut random),
        };
        let Some(event) = line.event.clone() else { continue };
        let name = ZONES[random.random_range(0..ZONES.len())];
        let zone = zone(name);
        let schedule = parse(&[&line.text], zone.clone(), &spread()).expect("it is right");
        // Half of the cases begin shortly before a change of the clock.
        let mut after_s = at("2026-01-01T00:00Z") + below(&mut random, 4 * 365 * DAY);
        let start = Timestamp::from_second(after_s).expect("a year of this century");
        if let Some(change) = zone.following(start).next().filter(|_| seed.is_multiple_of(2)) {
            after_s = change.timestamp().as_second() - 1 - below(&mut random, DAY);
        }
        let theirs = systemd(&format!("{event} {name}"), after_s, SLOTS);
        let shown = |time_s: i64| {
            zone.to_datetime(Timestamp::from_second(time_s).expect("a year of this century"))
        };
        let is_again = |time_s: i64| {
            let first = zone.to_timestamp(shown(time_s)).expect("a year of this century");
            first.as_second() < time_s
        };
        let is_change = |time_s: i64| {
            let after = Timestamp::from_second(time_s + 1).expect("a year of this century");
            zone.preceding(after).next().is_some_and(|c| c.timestamp().as_second() == time_s)
        };
        let Some(last_s) = theirs.last().copied() else { panic!("{event} never comes") };
        let ours = schedule.upcoming_s(after_s, 2 * SLOTS);
        let (after_gap, ours): (Vec<i64>, Vec<i64>) =
            ours.into_iter().filter(|s| *s <= last_s).partition(|s| !line.has(shown(*s)));
        assert!(after_gap.iter().all(|s| is_change(*s)), "seed {seed}: {after_gap:?}");
        let ours: Vec<i64> = ours.into_iter().filter(|s| !is_again(*s)).collect();
        let theirs: Vec<i64> = theirs.into_iter().filter(|s| !is_again(*s)).collect();
        assert_eq!(ours, theirs, "seed {seed}: `{}` is `{event}` in {name}", line.text);
        compared += ours.len();
        in_gaps += after_gap.len();
    }
    assert!(compared as u64 > 20 * count, "{compared} slots were compared");
    say(&format!("{compared} slots are those of systemd; {in_gaps} are in gaps and only ours"));
}
