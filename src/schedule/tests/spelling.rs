//! Lines that users write: what they mean, and what is said about wrong ones.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::{at, schedule, spread};
use crate::schedule::{ScheduleError, parse};

/// Returns a schedule in words, and its first slots of June 2026 in UTC.
fn meaning(lines: &[&str]) -> String {
    let schedule = schedule(lines, "UTC");
    let slots = schedule.upcoming_s(at("2026-06-01T00:00Z") - 1, 3);
    let times: Vec<String> = slots
        .into_iter()
        .map(|slot_s| {
            let time = jiff::Timestamp::from_second(slot_s).expect("a year of this century");
            time.strftime("%d %H:%M").to_string()
        })
        .collect();
    format!("{schedule} = {}", times.join(", "))
}

#[test]
fn lines_mean_what_people_expect() {
    let lines: &[(&[&str], &str)] = &[
        (&["daily 03:10"], "daily 03:10 = 01 03:10, 02 03:10, 03 03:10"),
        (&[" Daily  3:10 "], "daily 03:10 = 01 03:10, 02 03:10, 03 03:10"),
        (&["daily 00:00"], "daily 00:00 = 01 00:00, 02 00:00, 03 00:00"),
        (&["weekly sun 23:59"], "weekly sun 23:59 = 07 23:59, 14 23:59, 21 23:59"),
        (&["weekly MONDAY 00:30"], "weekly mon 00:30 = 01 00:30, 08 00:30, 15 00:30"),
        (&["monthly 1 04:00"], "monthly 1 04:00 = 01 04:00, 01 04:00, 01 04:00"),
        (&["monthly 31 04:00"], "monthly 31 04:00 = 30 04:00, 31 04:00, 31 04:00"),
        (&["*/30 4 * * *"], "*/30 4 * * * = 01 04:00, 01 04:30, 02 04:00"),
        (&["0 9-17/4 * * mon-fri"], "0 9-17/4 * * mon-fri = 01 09:00, 01 13:00, 01 17:00"),
        (&["5 4 * * 0"], "5 4 * * 0 = 07 04:05, 14 04:05, 21 04:05"),
        (&["5 4 * * 7"], "5 4 * * 7 = 07 04:05, 14 04:05, 21 04:05"),
        (&["5 4 L * *"], "5 4 l * * = 30 04:05, 31 04:05, 31 04:05"),
        (&["5 4 31 * *"], "5 4 31 * * = 31 04:05, 31 04:05, 31 04:05"),
        (&["5 4 * * friL"], "5 4 * * fril = 26 04:05, 31 04:05, 28 04:05"),
        (&["5 4 * * sun#2"], "5 4 * * sun#2 = 14 04:05, 12 04:05, 09 04:05"),
        (&["5 4 13 * fri"], "5 4 13 * fri = 05 04:05, 12 04:05, 13 04:05"),
        (
            &["daily 03:10", "daily 15:10"],
            "daily 03:10, daily 15:10 = 01 03:10, 01 15:10, 02 03:10",
        ),
        (
            &["daily 03:10", "weekly mon 03:10"],
            "daily 03:10, weekly mon 03:10 = 01 03:10, 02 03:10, 03 03:10",
        ),
        (&["never"], "never = "),
        (&[], "never = "),
    ];
    for (lines, expected) in lines {
        assert_eq!(meaning(lines), *expected, "{lines:?}");
    }
}

#[test]
fn words_without_a_time_get_one_that_stays() {
    let lines = ["hourly", "daily", "weekly", "weekly wed", "monthly", "monthly 3", "every 6h"];
    let expected = [
        "hourly at minute 12 = 01 00:12, 01 01:12, 01 02:12",
        "daily 05:25 = 01 05:25, 02 05:25, 03 05:25",
        "weekly sat 05:25 = 06 05:25, 13 05:25, 20 05:25",
        "weekly wed 05:25 = 03 05:25, 10 05:25, 17 05:25",
        "monthly 24 05:25 = 24 05:25, 24 05:25, 24 05:25",
        "monthly 3 05:25 = 03 05:25, 03 05:25, 03 05:25",
        "every 6h = 01 01:46, 01 07:46, 01 13:46",
    ];
    assert_eq!(lines.map(|line| meaning(&[line])), expected);
}

#[test]
fn errors_say_what_is_wrong_and_what_to_write() {
    let lines: &[(&str, &str, &str)] = &[
        ("", "it is empty", "daily 03:10"),
        ("dayly 03:10", "it begins with `dayly`", "daily 03:10"),
        ("daily 3am", "`3am` is not a time of day", "03:10"),
        ("daily 24:00", "`24:00` is not a time of day", "00:00"),
        ("daily 12:60", "`12:60` is not a time of day", "23:59"),
        ("daily 1:5", "`1:5` is not a time of day", "03:10"),
        ("daily +1:05", "`+1:05` is not a time of day", "03:10"),
        ("daily at 03:10", "too many or too few words", "daily 03:10"),
        ("weekly 03:10", "`03:10` is not a day of the week", "weekly sun 03:10"),
        ("weekly son 03:10", "`son` is not a day of the week", "weekly sun 03:10"),
        ("monthly 0 03:10", "`0` is not a day of the month", "1 to 31"),
        ("monthly 32 03:10", "`32` is not a day of the month", "last day"),
        ("monthly last 03:10", "`last` is not a day of the month", "31 is the last"),
        ("every 4m", "`4m` is shorter than 5 minutes", "every 5m"),
        ("every 0h", "`0h` is shorter than 5 minutes", "every 5m"),
        ("every 53w", "`53w` is longer than 52 weeks", "10 3 1 1 *"),
        ("every 9223372036854775807w", "is not a number", "every 15m"),
        ("every -5h", "`-5h` is not a number", "every 15m"),
        ("every day", "`day` is not a number", "every 2d"),
        ("every 5µ", "`5µ` is not a number", "every 15m"),
        ("every 6 h", "too many or too few words", "every 6h"),
        ("@daily", "it begins with `@daily`", "write `daily`"),
        ("@reboot", "it begins with `@reboot`", "write `daily 03:10`"),
        ("60 3 * * *", "`60` is not a minute", "0 to 59"),
        ("0 24 * * *", "`24` is not a hour", "0 to 23"),
        ("0 3 32 * *", "`32` is not a day of the month", "L for the last"),
        ("0 3 * 13 *", "`13` is not a month", "jan to dec"),
        ("0 3 * * 8", "`8` is not a day of the week", "Sunday"),
        ("0 3 * * montue", "`montue` is not a day of the week", "sun to sat"),
        ("0 3 * feb-jan *", "`feb-jan` is not a month", "ranges"),
        ("0 3,,4 * * *", "`3,,4` is not a hour", "lists"),
        ("0 */0 * * *", "`*/0` is not a hour", "steps"),
        ("0 0 30 2 *", "it never comes: no month has day `30`", "never"),
        ("0 0 31 4,6,9,11 *", "it never comes", "never"),
        ("* 3 * * *", "minute `*` is more often than every 5", "0 3"),
        ("*/4 * * * *", "minute `*/4` is more often than every 5", "*/5"),
        ("0 0 3 * * *", "it has 6 words", "without seconds"),
        ("0 3 * *", "it begins with `0`", "five fields of cron"),
        ("daily 03:10\u{1b}[2J", "`03:10\\u{1b}[2j` is not a time", "03:10"),
    ];
    for (line, why, hint) in lines {
        let error = parse(&[line], TimeZone::UTC, &spread()).expect_err(line);
        let text = error.to_string();
        assert!(text.contains(why) && text.contains("is not a schedule: "), "{line}: {text}");
        assert!(error.hint.contains(hint), "{line}: {}", error.hint);
        assert!(!text.contains('\u{1b}') && text.len() < 400, "{text}");
    }
}

#[test]
fn never_is_alone_and_lists_end() {
    let error = |lines: &[&str]| -> ScheduleError {
        parse(lines, TimeZone::UTC, &spread()).expect_err("it is wrong")
    };
    assert_eq!(error(&["daily", "never"]).why, "`never` has company");
    assert_eq!(error(&["daily", "weekly son"]).line, "weekly son");
    let many = ["daily 03:10"; 65];
    assert!(error(&many).why.contains("line 65"));
    assert!(parse(&many[1..], TimeZone::UTC, &spread()).is_ok());
}

proptest! {
    /// Whatever is written, the answer is a schedule that comes, or an error with a hint.
    #[test]
    fn any_text_is_a_schedule_or_an_error(
        text in prop_oneof![
            "\\PC{0,40}",
            "(hourly|daily|weekly|monthly|every|never)( [0-9a-z:]{1,6}){0,3}",
            "([0-9*/,\\-#+lwa-f?]{1,7} ){4}[0-9*/,\\-#+lwmonfri?]{1,7}",
        ],
    ) {
        match parse(&[&text], TimeZone::UTC, &spread()) {
            Ok(schedule) if schedule.is_never() => prop_assert_eq!(text.trim(), "never"),
            Ok(schedule) => {
                let start_s = at("2026-01-01T00:00Z");
                prop_assert!(schedule.next_s(start_s).is_some_and(|slot_s| slot_s > start_s));
                prop_assert!(schedule.interval_s().is_some_and(|s| s >= 300), "{}", text);
            }
            Err(error) => prop_assert!(!error.hint.is_empty() && !error.why.is_empty()),
        }
    }
}
