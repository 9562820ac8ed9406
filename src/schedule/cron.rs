//! Parser of cron fields.
//!
//! `croner` reads the fields and knows their days; the times of day are taken from it once, and the
//! calendar of the other rules does the rest. By itself it skips a list of hours that is left out
//! in spring, and runs it twice in autumn.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::date;

use super::error::{RuleResult, Wrong, shown, wrong};
use super::rule::{CivilRule, Days};

/// Minutes of a day.
const DAY_MIN: u16 = 24 * 60;
/// Least distance of two minutes of one hour.
const DISTANCE_MIN: u16 = 5;
/// Days that are searched for the first slot: 29 February on a given day of the week, across 2100.
const SEARCHED_DAYS: usize = 41 * 366;

/// A field: its name, its values in words, the names of values, and letters that may follow.
struct Field {
    name: &'static str,
    values: &'static str,
    names: &'static [&'static str],
    endings: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", values: "0 to 59", names: &[], endings: &[] },
    Field { name: "hour", values: "0 to 23", names: &[], endings: &[] },
    Field {
        name: "day of the month",
        values: "1 to 31, or L for the last day",
        names: &[],
        endings: &["lw", "l", "w"],
    },
    Field {
        name: "month",
        values: "1 to 12, or jan to dec",
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
        endings: &[],
    },
    Field {
        name: "day of the week",
        values: "0 to 7, where 0 and 7 are Sunday, or sun to sat",
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
        endings: &["l"],
    },
];

/// Parses five fields: minute, hour, day of the month, month, day of the week; lower case.
///
/// Fails if they never come, or at more than every fifth minute of an hour.
pub(super) fn rule(fields: [&str; 5]) -> RuleResult<CivilRule> {
    for (at, field) in fields.into_iter().enumerate() {
        check_field(at, field)?;
    }
    let [minute, hour, day, month, weekday] = fields;
    // What is right alone is right together, but that is for croner to say.
    let parse = |text: String| {
        parser().parse(&text).map_err(|error| wrong(error.to_string(), "correct the five fields"))
    };
    let days = Days::Cron(Box::new(parse(format!("0 0 {day} {month} {weekday}"))?));
    let minutes = minutes_of(&parse(format!("{minute} {hour} * * *"))?);
    let is_close = |pair: &[u16]| pair[0] / 60 == pair[1] / 60 && pair[1] - pair[0] < DISTANCE_MIN;
    if minutes.windows(2).any(is_close) {
        let why = format!("minute `{}` is more often than every {DISTANCE_MIN}", shown(minute));
        return Err(wrong(why, format!("write one minute, as in `0 {hour} …`, or `*/5`")));
    }
    let mut dates = date(2026, 1, 1).series(jiff::Span::new().days(1)).take(SEARCHED_DAYS);
    if minutes.is_empty() || !dates.any(|date| days.has(date)) {
        let why = format!("it never comes: no month has day `{}`", shown(day));
        return Err(wrong(why, "correct the day or the month, or write `never`"));
    }
    Ok(CivilRule {
        days,
        minutes,
        is_in_both_hours: hour.contains(['*', '/']),
        text: fields.join(" "),
    })
}

fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build()
}

/// Returns the minutes of the day at which a pattern comes on a day that it has.
fn minutes_of(cron: &Cron) -> Vec<u16> {
    let midnight = date(2026, 1, 1).at(0, 0, 0, 0);
    let comes = |minute: &u16| {
        let time = midnight.saturating_add(jiff::Span::new().minutes(*minute));
        cron.is_time_matching(&time).unwrap_or(false)
    };
    (0..DAY_MIN).filter(comes).collect()
}

fn check_field(at: usize, text: &str) -> RuleResult<()> {
    let field = &FIELDS[at];
    let mut alone = ["*"; 5];
    alone[at] = text;
    let is_known = text.split([',', '-', '/', '#', '+']).all(|token| is_known(field, token));
    if is_known && !is_list_broken(text) && parser().parse(&alone.join(" ")).is_ok() {
        return Ok(());
    }
    Err(refusal(field, text))
}

fn refusal(field: &Field, text: &str) -> Wrong {
    let why = format!("`{}` is not a {}", shown(text), field.name);
    let hint = format!(
        "a {} is {}; ranges `a-b`, lists `a,b` and steps `*/n` are possible",
        field.name, field.values
    );
    wrong(why, hint)
}

/// Returns whether a list lacks an element.
fn is_list_broken(text: &str) -> bool {
    text.split(',').any(str::is_empty)
}

/// Returns whether a token is a number, a name of the field, or a sign. croner replaces names
/// anywhere, so that it would take `montue` for 12.
fn is_known(field: &Field, token: &str) -> bool {
    let ending = field.endings.iter().find_map(|ending| token.strip_suffix(ending));
    let stem = ending.unwrap_or(token);
    matches!(stem, "" | "*" | "?")
        || stem.bytes().all(|byte| byte.is_ascii_digit())
        || field.names.contains(&stem)
}
