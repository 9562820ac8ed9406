//! Examples of slots at changes of the clock, of months, of intervals, and of the ends of time.

use super::{DAY, HOUR, at, local, schedule};

/// Returns the local times of the first slots after a moment.
fn times(line: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let slots_s = schedule(&[line], zone).upcoming_s(at(after), count);
    slots_s.into_iter().map(|slot_s| local(slot_s, zone)).collect()
}

#[test]
fn a_time_in_the_gap_comes_after_it() {
    assert_eq!(
        times("daily 02:30", "Europe/Berlin", "2026-03-28T00:00Z", 3),
        ["2026-03-28T02:30+01", "2026-03-29T03:00+02", "2026-03-30T02:30+02"]
    );
    assert_eq!(
        times("daily 00:00", "Africa/Cairo", "2026-04-23T00:00Z", 2),
        ["2026-04-24T01:00+03", "2026-04-25T00:00+03"]
    );
    // Several times in the gap are one moment, and so is the first time after it.
    assert_eq!(
        times("0,15,30 2,3 * * *", "Europe/Berlin", "2026-03-28T22:00Z", 4),
        [
            "2026-03-29T03:00+02",
            "2026-03-29T03:15+02",
            "2026-03-29T03:30+02",
            "2026-03-30T02:00+02"
        ]
    );
    // Samoa had no 30 December 2011: its slot comes when the next day begins.
    assert_eq!(
        times("daily 03:10", "Pacific/Apia", "2011-12-29T00:00Z", 3),
        ["2011-12-29T03:10-10", "2011-12-31T00:00+14", "2011-12-31T03:10+14"]
    );
}

#[test]
fn a_time_in_the_doubled_hour_comes_once() {
    assert_eq!(
        times("daily 02:30", "Europe/Berlin", "2026-10-24T12:00Z", 2),
        ["2026-10-25T02:30+02", "2026-10-26T02:30+01"]
    );
    // A list of hours too, which `croner` alone would run twice.
    assert_eq!(
        times("30 2,14 * * *", "Europe/Berlin", "2026-10-24T22:00Z", 3),
        ["2026-10-25T02:30+02", "2026-10-25T14:30+01", "2026-10-26T02:30+01"]
    );
    assert_eq!(
        times("daily 01:45", "Australia/Lord_Howe", "2026-04-04T00:00Z", 2),
        ["2026-04-05T01:45+11", "2026-04-06T01:45+10:30"]
    );
}

#[test]
fn every_hour_goes_on_through_both_changes() {
    assert_eq!(
        times("0 * * * *", "Europe/Berlin", "2026-10-24T23:30Z", 4),
        [
            "2026-10-25T02:00+02",
            "2026-10-25T02:00+01",
            "2026-10-25T03:00+01",
            "2026-10-25T04:00+01"
        ]
    );
    assert_eq!(
        times("0 */2 * * *", "Europe/Berlin", "2026-03-28T22:30Z", 3),
        ["2026-03-29T00:00+01", "2026-03-29T03:00+02", "2026-03-29T04:00+02"]
    );
    for zone in ["Europe/Berlin", "America/New_York", "Africa/Casablanca"] {
        let quarters =
            schedule(&["*/15 * * * *"], zone).upcoming_s(at("2026-01-01T00:00Z"), 36_000);
        assert!(quarters.windows(2).all(|pair| pair[1] - pair[0] == 900), "{zone}");
        let every = schedule(&["every 90m"], zone).upcoming_s(at("2026-01-01T00:00Z"), 6_000);
        assert!(every.windows(2).all(|pair| pair[1] - pair[0] == 5_400), "{zone}");
    }
}

#[test]
fn a_monthly_backup_comes_each_month() {
    let slots = schedule(&["monthly 31 04:00"], "Europe/Berlin");
    let times: Vec<String> = slots
        .upcoming_s(at("2028-01-01T00:00Z"), 4)
        .into_iter()
        .map(|slot_s| local(slot_s, "Europe/Berlin"))
        .collect();
    assert_eq!(
        times,
        [
            "2028-01-31T04:00+01",
            "2028-02-29T04:00+01",
            "2028-03-31T04:00+02",
            "2028-04-30T04:00+02"
        ]
    );
    assert_eq!(slots.count(at("2026-01-01T00:00Z"), at("2036-01-01T00:00Z")), 120);
}

#[test]
fn rare_days_are_found() {
    let leap = schedule(&["0 4 29 2 *"], "UTC");
    assert_eq!(leap.next_s(at("2096-03-01T00:00Z")), Some(at("2104-02-29T04:00Z")));
    assert_eq!(leap.previous_s(at("2104-02-29T03:59Z")), Some(at("2096-02-29T04:00Z")));
    // 29 February on a Thursday: `+` wants both days to fit. Nothing is rarer than this.
    let thursday = schedule(&["0 4 29 2 +4"], "UTC");
    assert_eq!(thursday.next_s(at("2080-02-29T04:00Z")), Some(at("2120-02-29T04:00Z")));
    assert_eq!(thursday.previous_s(at("2120-02-29T03:00Z")), Some(at("2080-02-29T04:00Z")));
}

#[test]
fn intervals_are_the_longest_that_are_usual() {
    let lines: &[(&[&str], i64)] = &[
        (&["hourly"], HOUR),
        (&["daily"], DAY),
        (&["weekly"], 7 * DAY),
        (&["monthly"], 31 * DAY),
        (&["monthly 31 04:00"], 31 * DAY),
        (&["every 5m"], 300),
        (&["every 52w"], 364 * DAY),
        (&["*/5 * * * *"], 300),
        (&["0 3 * * mon-fri"], 3 * DAY),
        (&["0 9-17 * * *"], 16 * HOUR),
        (&["daily 03:00", "daily 15:00", "weekly sun 09:00"], 12 * HOUR),
        (&["0 3 1 1 *"], 365 * DAY),
        (&["0 3 29 2 *"], 1_461 * DAY),
    ];
    for (lines, interval_s) in lines {
        let schedule = schedule(lines, "Europe/Berlin");
        assert_eq!(schedule.interval_s(), Some(*interval_s), "{lines:?}");
        assert_eq!(schedule.max_age_s(), Some(2 * interval_s + HOUR), "{lines:?}");
        assert_eq!(schedule.clone().later_by(99).interval_s(), Some(*interval_s), "{lines:?}");
    }
    assert_eq!(schedule(&["never"], "UTC").interval_s(), None);
    assert_eq!(schedule(&["never"], "UTC").max_age_s(), None);
}

#[test]
fn the_ends_of_time_are_no_panic() {
    for line in ["hourly", "every 5m", "monthly 31 23:59", "0 0 29 2 *"] {
        let schedule = schedule(&[line], "Africa/Casablanca").later_by(DAY);
        for time_s in [i64::MIN, -1, 0, 1, 253_402_300_799, 1 << 40, i64::MAX] {
            assert!(schedule.next_s(time_s).is_none_or(|slot_s| slot_s > time_s), "{line}");
            assert!(schedule.previous_s(time_s).is_none_or(|slot_s| slot_s <= time_s), "{line}");
        }
        assert_eq!(schedule.next_s(i64::MAX), None, "{line}");
        assert_eq!(schedule.previous_s(i64::MIN), None, "{line}");
    }
    assert!(schedule(&["never"], "UTC").upcoming_s(0, 3).is_empty());
}
