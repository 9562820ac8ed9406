//! Rules of a schedule: the parsed form of its lines.

use std::fmt;

use jiff::civil::{Date, Weekday};

/// A line of a schedule.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    /// Times that clocks show.
    Civil(CivilRule),
    /// Elapsed time.
    Every(EveryRule),
}

/// Times of day on some days, as clocks show them.
#[derive(Clone, Debug)]
pub(super) struct CivilRule {
    /// The days.
    pub days: Days,
    /// Minutes of the day, ascending, each once.
    pub minutes: Vec<u16>,
    /// Whether a time that the clock shows twice is two slots: the rule means "every hour", not
    /// "at three".
    pub is_in_both_hours: bool,
    /// The rule in words.
    pub text: String,
}

/// A fixed distance in elapsed time.
#[derive(Clone, Debug)]
pub(super) struct EveryRule {
    /// Distance of two slots in seconds.
    pub interval_s: i64,
    /// First slot after 1970, in seconds; less than the interval.
    pub phase_s: i64,
    /// The rule in words.
    pub text: String,
}

/// Days of the calendar.
#[derive(Clone, Debug)]
pub(super) enum Days {
    /// All of them.
    All,
    /// A day of the week.
    Weekday(Weekday),
    /// A day of the month, from 1; in shorter months the last one.
    ///
    /// systemd and cron leave shorter months out. A backup that is asked for monthly must come each
    /// month: `monthly 31` means the end of the month to the person who writes it.
    OfMonth(i8),
    /// The days of cron fields, at midnight.
    Cron(Box<croner::Cron>),
}

impl Days {
    /// Returns whether a day is one of them.
    pub(super) fn has(&self, date: Date) -> bool {
        match self {
            Self::All => true,
            Self::Weekday(weekday) => date.weekday() == *weekday,
            Self::OfMonth(day) => date.day() == (*day).min(date.days_in_month()),
            // An error is a date that croner cannot count to, after the year 5000.
            Self::Cron(cron) => cron.is_time_matching(&date.at(0, 0, 0, 0)).unwrap_or(false),
        }
    }
}

impl EveryRule {
    /// Appends the slots from `start_s` to before `end_s`.
    pub(super) fn slots(&self, start_s: i64, end_s: i64, slots_s: &mut Vec<i64>) {
        let before = (start_s - self.phase_s).rem_euclid(self.interval_s);
        let mut slot_s = start_s - before + if before > 0 { self.interval_s } else { 0 };
        while slot_s < end_s {
            slots_s.push(slot_s);
            slot_s += self.interval_s;
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Civil(rule) => &rule.text,
            Self::Every(rule) => &rule.text,
        })
    }
}
