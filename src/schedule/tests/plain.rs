//! Plain model of schedules: each minute of a time is looked at, as a person with a clock does.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt};

use super::{DAY, MINUTE};
use crate::schedule::Spread;

/// A minute, and the times that the clock shows and leaves out.
pub(super) struct Minute {
    pub time_s: i64,
    pub shown: DateTime,
    /// The clock has shown this time before.
    pub is_again: bool,
    /// Times left out since the minute before.
    pub skipped: Vec<DateTime>,
}

/// Returns the minutes from `start_s` to before `end_s`.
pub(super) fn walk(zone: &TimeZone, start_s: i64, end_s: i64) -> Vec<Minute> {
    let shown = |time_s: i64| {
        zone.to_datetime(Timestamp::from_second(time_s).expect("a year of this century"))
    };
    let next = |time: DateTime| time.saturating_add(SignedDuration::from_mins(1));
    // Long enough before that a repeated hour is known as one.
    let first_s = start_s - 2 * DAY;
    let (mut newest, mut minutes) = (shown(first_s), Vec::new());
    for time_s in (first_s + MINUTE..end_s).step_by(60) {
        let now = shown(time_s);
        let is_again = now <= newest;
        let mut skipped = Vec::new();
        let mut expected = next(newest);
        while expected < now {
            skipped.push(expected);
            expected = next(expected);
        }
        newest = newest.max(now);
        if time_s >= start_s {
            minutes.push(Minute { time_s, shown: now, is_again, skipped });
        }
    }
    minutes
}

/// A line of a schedule as the walk understands it. An empty list is all values.
#[derive(Clone, Debug, Default)]
pub(super) struct Plain {
    pub text: String,
    /// The same for systemd, if it can say it.
    pub event: Option<String>,
    minutes: Vec<i8>,
    hours: Vec<i8>,
    days: Vec<i8>,
    months: Vec<i8>,
    /// From Sunday, 0.
    weekdays: Vec<i8>,
    /// A day that a month does not have is its last.
    is_last_of_shorter: bool,
    is_in_both_hours: bool,
    /// Interval and first slot in minutes, in place of all others.
    every: Option<[i64; 2]>,
}

impl Plain {
    /// Returns whether a time of the clock is a slot.
    pub(super) fn has(&self, time: DateTime) -> bool {
        let is_in = |list: &[i8], value: i8| list.is_empty() || list.contains(&value);
        if !is_in(&self.minutes, time.minute()) || !is_in(&self.hours, time.hour()) {
            return false;
        }
        let weekday = time.date().weekday().to_sunday_zero_offset();
        let is_end = time.day() == time.date().days_in_month();
        let is_clamped =
            self.is_last_of_shorter && is_end && self.days.iter().any(|day| *day > time.day());
        let is_day = is_in(&self.days, time.day()) || is_clamped;
        let is_date = if self.days.is_empty() || self.weekdays.is_empty() {
            is_day && is_in(&self.weekdays, weekday)
        } else {
            is_day || is_in(&self.weekdays, weekday)
        };
        is_in(&self.months, time.month()) && is_date
    }

    fn comes_at(&self, minute: &Minute) -> bool {
        if let Some([interval, phase]) = self.every {
            return (minute.time_s / 60 - phase) % interval == 0;
        }
        let is_shown = self.has(minute.shown) && (self.is_in_both_hours || !minute.is_again);
        is_shown || minute.skipped.iter().any(|time| self.has(*time))
    }

    /// Returns a line of any form, often near the hours at which clocks change.
    pub(super) fn random(random: &mut SmallRng, spread: &Spread) -> Self {
        match random.random_range(0..12) {
            0 => Self::hourly(spread),
            1 => Self::word("daily", spread),
            2 => Self::word("weekly", spread),
            3 => Self::word("monthly", spread),
            4 => Self::every(random, spread),
            5 | 6 => Self::daily(random),
            7 => Self::weekly(random),
            8 => Self::monthly(random),
            _ => Self::cron(random),
        }
    }

    fn hourly(spread: &Spread) -> Self {
        Self {
            text: "hourly".to_owned(),
            minutes: vec![small(spread.minute_of_hour())],
            is_in_both_hours: true,
            ..Self::default()
        }
    }

    fn word(word: &str, spread: &Spread) -> Self {
        let minute = spread.minute_of_day();
        let mut plain = Self {
            text: word.to_owned(),
            minutes: vec![small(minute % 60)],
            hours: vec![small(minute / 60)],
            ..Self::default()
        };
        match word {
            "weekly" => plain.weekdays.push(spread.weekday().to_sunday_zero_offset()),
            "monthly" => plain.days.push(spread.day_of_month()),
            _ => {}
        }
        plain
    }

    fn every(random: &mut SmallRng, spread: &Spread) -> Self {
        let forms = [("m", 1, 5..200), ("h", 60, 1..60), ("d", 1_440, 1..20), ("w", 10_080, 1..4)];
        let (unit, minutes, numbers) = pick(random, forms);
        let number = random.random_range(numbers);
        let interval = number * minutes;
        Self {
            text: format!("every {number}{unit}"),
            every: Some([interval, spread.phase_s(interval * 60) / 60]),
            ..Self::default()
        }
    }

    /// Returns a line for one time of each day.
    pub(super) fn daily(random: &mut SmallRng) -> Self {
        let (hour, minute) = (hour(random), minute(random));
        Self {
            text: format!("daily {hour:02}:{minute:02}"),
            event: Some(format!("*-*-* {hour:02}:{minute:02}:00")),
            minutes: vec![minute],
            hours: vec![hour],
            ..Self::default()
        }
    }

    /// Returns a line for a day of the week.
    pub(super) fn weekly(random: &mut SmallRng) -> Self {
        let weekday: i8 = random.random_range(0..7);
        let name = NAMES[usize::from(weekday.unsigned_abs())];
        let daily = Self::daily(random);
        Self {
            text: daily.text.replace("daily", &format!("weekly {name}")),
            event: daily.event.map(|event| format!("{name} {event}")),
            weekdays: vec![weekday],
            ..daily
        }
    }

    /// Returns a line for a day of the month. systemd has no last day of shorter months.
    pub(super) fn monthly(random: &mut SmallRng) -> Self {
        let day: i8 = random.random_range(1..32);
        let daily = Self::daily(random);
        Self {
            text: daily.text.replace("daily", &format!("monthly {day}")),
            event: daily.event.filter(|_| day < 29).map(|e| e.replace("-* ", &format!("-{day} "))),
            days: vec![day],
            is_last_of_shorter: true,
            ..daily
        }
    }

    /// Returns five fields of cron.
    pub(super) fn cron(random: &mut SmallRng) -> Self {
        let minutes = [vec![0], vec![minute(random)], vec![0, 30], vec![10, 25, 59], vec![]];
        let hours = [vec![], vec![hour(random)], vec![1, 2, 14], vec![0, 3], vec![2, 23]];
        let days = [vec![], vec![], vec![1], vec![29, 31], vec![13, 27]];
        let months = [vec![], vec![], vec![], vec![3, 10], vec![1, 4, 9, 11]];
        let weekdays: [Vec<i8>; 5] = [vec![], vec![], vec![0], vec![1, 2, 3, 4, 5], vec![0, 6]];
        let minutes = pick(random, minutes);
        let hours = pick(random, hours);
        let days = pick(random, days);
        let months = pick(random, months);
        let weekdays = pick(random, weekdays);
        let list = |list: &[i8]| list.iter().map(i8::to_string).collect::<Vec<_>>().join(",");
        let field = |values: &[i8]| if values.is_empty() { "*".to_owned() } else { list(values) };
        // All minutes are more than are allowed: every fifth.
        let (every, minutes) = match &minutes[..] {
            [] => ("*/5", (0..60).step_by(5).collect()),
            _ => ("", minutes),
        };
        let minute_field = if every.is_empty() { list(&minutes) } else { every.to_owned() };
        let (day, month) = (field(&days), field(&months));
        let names: Vec<&str> =
            weekdays.iter().map(|day| NAMES[usize::from(day.unsigned_abs())]).collect();
        // systemd wants both days to fit, cron one of them.
        let is_common = days.is_empty() || weekdays.is_empty();
        let event =
            format!("{} *-{month}-{day} {}:{}:00", names.join(","), field(&hours), list(&minutes));
        Self {
            text: format!("{minute_field} {} {day} {month} {}", field(&hours), field(&weekdays)),
            event: is_common.then(|| event.trim_start().to_owned()),
            is_in_both_hours: hours.is_empty(),
            minutes,
            hours,
            days,
            months,
            weekdays,
            ..Self::default()
        }
    }
}

/// Returns the slots of some lines in walked minutes.
pub(super) fn slots(lines: &[Plain], minutes: &[Minute]) -> Vec<i64> {
    let comes = |minute: &&Minute| lines.iter().any(|line| line.comes_at(minute));
    minutes.iter().filter(comes).map(|minute| minute.time_s).collect()
}

const NAMES: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

fn small(number: u16) -> i8 {
    i8::try_from(number).expect("an hour or a minute")
}

/// Returns one of some values.
pub(super) fn pick<T, const COUNT: usize>(random: &mut SmallRng, values: [T; COUNT]) -> T {
    let at = random.random_range(0..COUNT);
    values.into_iter().nth(at).expect("it is in the list")
}

fn hour(random: &mut SmallRng) -> i8 {
    pick(random, [0, 1, 2, 2, 3, 23, 12])
}

fn minute(random: &mut SmallRng) -> i8 {
    pick(random, [0, 1, 15, 29, 30, 31, 59])
}

/// Returns a number of seconds from 0 to below `end_s`.
pub(super) fn below(random: &mut SmallRng, end_s: i64) -> i64 {
    random.next_u64().cast_signed().rem_euclid(end_s)
}
