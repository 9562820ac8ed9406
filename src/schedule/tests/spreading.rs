//! Numbers by host and name: their ranges, that they differ, and that they never change.

use std::collections::BTreeMap;

use super::{DAY, HOUR};
use crate::schedule::Spread;

#[test]
fn numbers_keep_their_ranges_and_fill_them() {
    let mut seen: BTreeMap<&str, BTreeMap<i64, u32>> = BTreeMap::new();
    for host in 0..40 {
        for app in 0..200 {
            let spread = Spread::of(&format!("host{host}"), &format!("app{app}"));
            let numbers = [
                ("minute of the hour", i64::from(spread.minute_of_hour())),
                ("half hour of the day", i64::from(spread.minute_of_day() / 30)),
                ("day of the week", i64::from(spread.weekday().to_monday_one_offset())),
                ("day of the month", i64::from(spread.day_of_month())),
                ("phase", spread.phase_s(20 * 60)),
                ("jitter", spread.jitter_s(9)),
            ];
            for (name, number) in numbers {
                *seen.entry(name).or_default().entry(number).or_default() += 1;
            }
        }
    }
    let ranges = [
        ("minute of the hour", 0, 59, 1),
        ("half hour of the day", 1, 10, 1),
        ("day of the week", 1, 7, 1),
        ("day of the month", 1, 28, 1),
        ("phase", 0, 19 * 60, 60),
        ("jitter", 0, 9, 1),
    ];
    for (name, first, last, step) in ranges {
        let counts = &seen[name];
        let values = (last - first) / step + 1;
        assert!(counts.keys().copied().eq((first..=last).step_by(step as usize)), "{name}");
        let fair = 8_000 / values as u32;
        assert!(counts.values().all(|count| (fair / 2..fair * 2).contains(count)), "{name}");
    }
}

/// Another hash would move all slots of all users.
#[test]
fn numbers_are_frozen() {
    let of = |host, name| {
        let spread = Spread::of(host, name);
        let day = spread.weekday().to_monday_one_offset();
        let minutes = [spread.minute_of_hour(), spread.minute_of_day()];
        (minutes, day, spread.day_of_month(), spread.phase_s(DAY), spread.jitter_s(HOUR))
    };
    assert_eq!(of("nas", "wiki"), ([13, 212], 5, 27, 17_880, 3_111));
    assert_eq!(of("nas", "drill wiki"), ([2, 319], 3, 16, 5_880, 1_839));
    assert_eq!(of("", ""), ([45, 203], 4, 27, 10_380, 3_212));
    assert_ne!(of("a", "bc"), of("ab", "c"));
    assert_eq!([0, -5].map(|max_s| Spread::of("nas", "wiki").jitter_s(max_s)), [0, 0]);
    assert!((0..=i64::MAX).contains(&Spread::of("nas", "wiki").jitter_s(i64::MAX)));
}
