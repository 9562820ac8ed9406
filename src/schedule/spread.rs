//! Spread of many apps over time: numbers fixed by host and name.
//!
//! A fleet that is told `daily` must not come at midnight all at once, and each app must come at
//! the same time every day. So the numbers are a hash of both names. They are frozen by a test:
//! another hash would move every slot, and run some of them twice.

use jiff::civil::Weekday;

/// Context of the hash. Nothing here is secret.
const CONTEXT: &str = "drumlin 2026-12 times of schedules v1";

/// First minute of the night in which words without a time come: 00:30.
const NIGHT_START_MIN: u64 = 30;
/// Length of that night in minutes: the last one is 05:29.
const NIGHT_LEN_MIN: u64 = 300;
/// Last day of the month that a word gets: every month has it.
const MONTH_DAY_MAX: u64 = 28;

/// The numbers of one thing that is scheduled.
///
/// | number | range |
/// |---|---|
/// | minute of the hour | 0 to 59 |
/// | time of the day | 00:30 to 05:29 |
/// | day of the week | Monday to Sunday |
/// | day of the month | 1 to 28 |
/// | begin of intervals | whole minutes, from 0 to below the interval |
/// | jitter | whole seconds, from 0 to its maximum |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    minute_of_hour: u64,
    minute_of_night: u64,
    weekday: u64,
    day_of_month: u64,
    phase: u64,
    jitter: u64,
}

impl Spread {
    /// Returns the numbers of a host and a name that is unique on it, such as `wiki` for an app,
    /// `drill wiki` for its drill, or `prune box` for a repository.
    pub fn of(host: &str, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        for text in [host, name] {
            // The length comes first: `ab`, `c` and `a`, `bc` are different.
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        let mut numbers = hasher.finalize_xof();
        let mut next = || {
            let mut bytes = [0; 8];
            numbers.fill(&mut bytes);
            u64::from_le_bytes(bytes)
        };
        Self {
            minute_of_hour: next(),
            minute_of_night: next(),
            weekday: next(),
            day_of_month: next(),
            phase: next(),
            jitter: next(),
        }
    }

    /// Returns the seconds by which all slots come later, from 0 to `max_s`; 0 if that is negative.
    pub fn jitter_s(&self, max_s: i64) -> i64 {
        below(self.jitter, max_s.max(0).unsigned_abs() + 1)
    }

    /// Returns the minute at which `hourly` comes.
    pub(super) fn minute_of_hour(&self) -> u16 {
        small(self.minute_of_hour % 60)
    }

    /// Returns the minute of the day at which `daily`, `weekly` and `monthly` come.
    pub(super) fn minute_of_day(&self) -> u16 {
        small(NIGHT_START_MIN + self.minute_of_night % NIGHT_LEN_MIN)
    }

    /// Returns the day on which `weekly` comes.
    pub(super) fn weekday(&self) -> Weekday {
        let offset = i8::try_from(self.weekday % 7).expect("less than 7");
        Weekday::from_monday_zero_offset(offset).expect("less than 7")
    }

    /// Returns the day on which `monthly` comes.
    pub(super) fn day_of_month(&self) -> i8 {
        i8::try_from(1 + self.day_of_month % MONTH_DAY_MAX).expect("at most 28")
    }

    /// Returns the first slot after 1970 of an interval of whole minutes, in seconds.
    pub(super) fn phase_s(&self, interval_s: i64) -> i64 {
        below(self.phase, interval_s.unsigned_abs() / 60) * 60
    }
}

/// Returns a number below `end`, which is not 0.
fn below(number: u64, end: u64) -> i64 {
    i64::try_from(number % end).expect("the end fits")
}

fn small(number: u64) -> u16 {
    u16::try_from(number).expect("less than the minutes of a day")
}
