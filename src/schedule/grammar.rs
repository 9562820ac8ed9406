//! Parser of schedules.
//!
//! | line | slots |
//! |---|---|
//! | `hourly` | each hour, at a minute by the spread |
//! | `daily`, `daily HH:MM` | each day; without a time, one by the spread |
//! | `weekly`, `weekly DAY`, `weekly DAY HH:MM` | a day of the week, `mon` to `sun` |
//! | `monthly`, `monthly D`, `monthly D HH:MM` | a day of the month; in shorter months the last |
//! | `every N{m,h,d,w}` | elapsed time, 5 minutes to 52 weeks, begun by the spread |
//! | five cron fields | as cron has them, with `L`, `W` and `#` |
//! | `never` | none: runs are started by hand |

use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use super::calendar::Schedule;
use super::cron;
use super::error::{RuleResult, ScheduleError, Wrong, shown, wrong};
use super::rule::{CivilRule, Days, EveryRule, Rule};
use super::spread::Spread;

/// Most lines of a schedule.
const LINES_MAX: usize = 64;
/// Shortest interval, in seconds: a run takes that long.
const INTERVAL_MIN_S: i64 = 5 * 60;
/// Longest interval, in seconds.
const INTERVAL_MAX_S: i64 = 52 * 7 * 86_400;
/// Units of intervals, and their seconds.
const UNITS: [(char, i64); 4] = [('m', 60), ('h', 3_600), ('d', 86_400), ('w', 604_800)];
const DAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const FORMS: &str = "write `daily 03:10`, `weekly sun 03:10`, `monthly 1 03:10`, `hourly`, \
                     `every 6h`, `never`, or the five fields of cron such as `10 3 * * *`";

/// Parses the lines of a schedule: together they are one. No line is `never`.
///
/// The caller decides the zone: the key of the app, else `TZ`, else the system's. Fails if a line
/// is not a schedule or never comes.
pub fn parse<T: AsRef<str>>(
    lines: &[T],
    zone: TimeZone,
    spread: &Spread,
) -> Result<Schedule, ScheduleError> {
    let mut rules = Vec::new();
    for line in lines.iter().map(AsRef::as_ref) {
        let error = |wrong| ScheduleError::new(line, wrong);
        let words: Vec<String> = line.split_whitespace().map(str::to_lowercase).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if rules.len() == LINES_MAX {
            let why = format!("it is line {} of the schedule", LINES_MAX + 1);
            return Err(error(wrong(why, "combine lines by lists such as `0 3,9,15 * * *`")));
        }
        if words == ["never"] {
            if lines.len() > 1 {
                return Err(error(wrong("`never` has company", "remove it, or the other lines")));
            }
        } else {
            rules.push(rule(&words, spread).map_err(error)?);
        }
    }
    Ok(Schedule::new(rules, zone))
}

fn rule(words: &[&str], spread: &Spread) -> RuleResult {
    match *words {
        ["hourly"] => Ok(hourly(spread.minute_of_hour())),
        ["daily"] => Ok(daily(spread.minute_of_day())),
        ["daily", time] => Ok(daily(parse_time(time)?)),
        ["weekly"] => Ok(weekly(spread.weekday(), spread.minute_of_day())),
        ["weekly", day] => Ok(weekly(parse_weekday(day)?, spread.minute_of_day())),
        ["weekly", day, time] => Ok(weekly(parse_weekday(day)?, parse_time(time)?)),
        ["monthly"] => Ok(monthly(spread.day_of_month(), spread.minute_of_day())),
        ["monthly", day] => Ok(monthly(parse_day(day)?, spread.minute_of_day())),
        ["monthly", day, time] => Ok(monthly(parse_day(day)?, parse_time(time)?)),
        ["every", interval] => every(interval, spread),
        [] => Err(wrong("it is empty", FORMS)),
        ["hourly" | "daily" | "weekly" | "monthly" | "every" | "never", ..] => {
            Err(wrong("it has too many or too few words", FORMS))
        }
        [minute, hour, day, month, weekday] => {
            cron::rule([minute, hour, day, month, weekday]).map(Rule::Civil)
        }
        [_, _, _, _, _, _, ..] => {
            Err(wrong(format!("it has {} words", words.len()), FORMS.to_owned() + NO_SECONDS))
        }
        [first, ..] => Err(unknown(first)),
    }
}

const NO_SECONDS: &str = " (without seconds or years)";

fn unknown(first: &str) -> Wrong {
    let hint = match first {
        "@hourly" | "@daily" | "@weekly" | "@monthly" => format!("write `{}`", &first[1..]),
        "@midnight" => "write `daily 00:00`".to_owned(),
        "@yearly" | "@annually" => "write `0 0 1 1 *`".to_owned(),
        _ => FORMS.to_owned(),
    };
    wrong(format!("it begins with `{}`", shown(first)), hint)
}

fn hourly(minute: u16) -> Rule {
    Rule::Civil(CivilRule {
        days: Days::All,
        minutes: (0..24).map(|hour| hour * 60 + minute).collect(),
        is_in_both_hours: true,
        text: format!("hourly at minute {minute}"),
    })
}

fn daily(minute: u16) -> Rule {
    at_a_time(Days::All, minute, format!("daily {}", clock(minute)))
}

fn weekly(weekday: Weekday, minute: u16) -> Rule {
    let name = DAYS[usize::from(weekday.to_monday_zero_offset().unsigned_abs())];
    let text = format!("weekly {} {}", &name[..3], clock(minute));
    at_a_time(Days::Weekday(weekday), minute, text)
}

fn monthly(day: i8, minute: u16) -> Rule {
    at_a_time(Days::OfMonth(day), minute, format!("monthly {day} {}", clock(minute)))
}

fn at_a_time(days: Days, minute: u16, text: String) -> Rule {
    Rule::Civil(CivilRule { days, minutes: vec![minute], is_in_both_hours: false, text })
}

fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn every(text: &str, spread: &Spread) -> RuleResult {
    let unit = UNITS.into_iter().find(|(name, _)| text.ends_with(*name));
    let interval_s = unit.and_then(|(_, unit_s)| {
        let number = &text[..text.len() - 1];
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse::<i64>().ok().filter(|_| is_number)?.checked_mul(unit_s)
    });
    let Some(interval_s) = interval_s else {
        let why = format!("`{}` is not a number and one of m, h, d, w", shown(text));
        return Err(wrong(why, "write `every 15m`, `every 6h`, `every 2d` or `every 1w`"));
    };
    if interval_s < INTERVAL_MIN_S {
        let why = format!("`{}` is shorter than 5 minutes", shown(text));
        return Err(wrong(why, "write `every 5m` or longer"));
    }
    if interval_s > INTERVAL_MAX_S {
        let why = format!("`{}` is longer than 52 weeks", shown(text));
        return Err(wrong(why, "for once a year write a date, such as `10 3 1 1 *`"));
    }
    let phase_s = spread.phase_s(interval_s);
    Ok(Rule::Every(EveryRule { interval_s, phase_s, text: format!("every {text}") }))
}

/// Parses a time of day, and returns its minute.
fn parse_time(text: &str) -> RuleResult<u16> {
    let refuse = |hint| wrong(format!("`{}` is not a time of day", shown(text)), hint);
    let general = "write hours and minutes, 00:00 to 23:59, such as `03:10`";
    let part = |part: &str, digits: std::ops::RangeInclusive<usize>, end| {
        let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
        let is_short = digits.contains(&part.len());
        part.parse::<u16>().ok().filter(|number| is_number && is_short && *number < end)
    };
    let (hour, minute) = text.split_once(':').ok_or_else(|| refuse(general))?;
    if hour == "24" {
        return Err(refuse("midnight is 00:00, the first minute of the day"));
    }
    match (part(hour, 1..=2, 24), part(minute, 2..=2, 60)) {
        (Some(hour), Some(minute)) => Ok(hour * 60 + minute),
        _ => Err(refuse(general)),
    }
}

fn parse_weekday(text: &str) -> RuleResult<Weekday> {
    let at = DAYS.iter().position(|name| *name == text || name[..3] == *text).ok_or_else(|| {
        let why = format!("`{}` is not a day of the week", shown(text));
        wrong(why, "write mon, tue, wed, thu, fri, sat or sun, as in `weekly sun 03:10`")
    })?;
    let offset = i8::try_from(at).expect("less than 7");
    Ok(Weekday::from_monday_zero_offset(offset).expect("less than 7"))
}

fn parse_day(text: &str) -> RuleResult<i8> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let day = text.parse::<i8>().ok().filter(|day| is_number && (1..=31).contains(day));
    day.ok_or_else(|| {
        let why = format!("`{}` is not a day of the month", shown(text));
        wrong(why, "write 1 to 31, as in `monthly 15 03:10`; 31 is the last day of every month")
    })
}
