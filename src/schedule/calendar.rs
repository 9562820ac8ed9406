//! Slots of a schedule: from civil times to moments, across changes of summer time.
//!
//! A civil time that the clock leaves out is the first moment after the gap; one that the clock
//! shows twice is the first of the two, or both if the rule means every hour. Several rules at one
//! moment are one slot.
//!
//! Everything is computed by days of UTC, each independently of all others: the slots of a day are
//! a sorted list, and finding and counting are loops over days. Only days near a change of the
//! clock ask the time zone about each time.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use super::rule::{CivilRule, Rule};

/// Seconds of a day of UTC.
const DAY_S: i64 = 86_400;
/// Days after 1970 that are searched and counted: until the year 4981.
const DAYS_MAX: i64 = 1_100_000;
/// Longest distance of two slots in days: 29 February on a given day of the week, across 2100.
const DISTANCE_MAX_DAYS: i64 = 41 * 366;
/// Days by which the local date of a slot may differ from the day of UTC: offsets are up to 26
/// hours, and a gap may swallow a day.
const DATES_AROUND: i64 = 2;
/// The day of UTC, and those around it.
const DATES_COUNT: usize = 5;
/// First day of the span over which intervals are measured: 2026-01-01.
const MEASURE_START_DAY: i64 = 20_454;
/// Days over which intervals are measured: a year, and the longest month.
const MEASURE_DAYS: i64 = 400;

/// The slots of an app, a repository or a report: an unbounded, computed set of moments.
///
/// All times are seconds since 1970.
#[derive(Clone, Debug)]
pub struct Schedule {
    rules: Vec<Rule>,
    zone: TimeZone,
    jitter_s: i64,
}

impl Schedule {
    /// Returns the schedule of some rules; none is `never`.
    pub(super) fn new(rules: Vec<Rule>, zone: TimeZone) -> Self {
        Self { rules, zone, jitter_s: 0 }
    }

    /// Returns the schedule whose slots come later by `jitter_s` seconds, at most a day.
    ///
    /// Take the number from [`Spread::jitter_s`](super::Spread::jitter_s).
    #[must_use]
    pub fn later_by(self, jitter_s: i64) -> Self {
        Self { jitter_s: jitter_s.clamp(0, DAY_S), ..self }
    }

    /// Returns whether no slot ever comes: runs are started by hand.
    pub fn is_never(&self) -> bool {
        self.rules.is_empty()
    }

    /// Returns the first slot after a moment.
    pub fn next_s(&self, after_s: i64) -> Option<i64> {
        let after_s = after_s.saturating_sub(self.jitter_s);
        let first_day = after_s.div_euclid(DAY_S).max(0);
        let mut slots_s = Vec::new();
        for day in first_day..=first_day.saturating_add(DISTANCE_MAX_DAYS).min(DAYS_MAX) {
            self.slots_of_day(day, &mut slots_s);
            if let Some(slot_s) = slots_s.iter().find(|slot_s| **slot_s > after_s) {
                return Some(slot_s + self.jitter_s);
            }
        }
        None
    }

    /// Returns the newest slot that is not after a moment; none are before 1970.
    pub fn previous_s(&self, until_s: i64) -> Option<i64> {
        let until_s = until_s.saturating_sub(self.jitter_s);
        let last_day = until_s.div_euclid(DAY_S).min(DAYS_MAX);
        let mut slots_s = Vec::new();
        for day in (last_day.saturating_sub(DISTANCE_MAX_DAYS).max(0)..=last_day).rev() {
            self.slots_of_day(day, &mut slots_s);
            if let Some(slot_s) = slots_s.iter().rfind(|slot_s| **slot_s <= until_s) {
                return Some(slot_s + self.jitter_s);
            }
        }
        None
    }

    /// Returns the next slots after a moment, at most `count`.
    pub fn upcoming_s(&self, after_s: i64, count: usize) -> Vec<i64> {
        std::iter::successors(self.next_s(after_s), |slot_s| self.next_s(*slot_s))
            .take(count)
            .collect()
    }

    /// Returns the number of slots after `after_s` and not after `until_s`.
    ///
    /// The work grows with the time between them: the caller bounds it.
    pub(super) fn count(&self, after_s: i64, until_s: i64) -> u64 {
        let [after_s, until_s] = [after_s, until_s].map(|s| s.saturating_sub(self.jitter_s));
        let [first, last] = [after_s, until_s].map(|s| s.div_euclid(DAY_S).clamp(0, DAYS_MAX));
        let (mut count, mut slots_s) = (0, Vec::new());
        for day in first..=last {
            self.slots_of_day(day, &mut slots_s);
            let meant = slots_s.iter().filter(|s| **s > after_s && **s <= until_s);
            count += meant.count() as u64;
        }
        count
    }

    /// Returns the longest time in seconds that usually passes from slot to slot: that of a
    /// calendar without changes of the clock.
    ///
    /// It is the longest and not the usual one, because an app that rests at weekends is not late
    /// on Sunday. None if no slot ever comes.
    pub fn interval_s(&self) -> Option<i64> {
        let plain = Self::new(self.rules.clone(), TimeZone::UTC);
        let first_s = plain.next_s(MEASURE_START_DAY * DAY_S - 1)?;
        let mut last_s = plain.next_s(first_s)?;
        let (mut longest_s, mut slots_s) = (last_s - first_s, Vec::new());
        for day in last_s.div_euclid(DAY_S)..=first_s.div_euclid(DAY_S) + MEASURE_DAYS {
            plain.slots_of_day(day, &mut slots_s);
            for slot_s in &slots_s {
                // The first day begins with slots that were seen: their time is negative.
                longest_s = longest_s.max(slot_s - last_s);
                last_s = last_s.max(*slot_s);
            }
        }
        Some(longest_s)
    }

    /// Returns the age in seconds at which the last good run is too old, if nothing else was asked
    /// for: two intervals and an hour. None if no slot ever comes.
    pub fn max_age_s(&self) -> Option<i64> {
        Some(2 * self.interval_s()? + 3600)
    }

    /// Replaces `slots_s` by the slots of a day of UTC, ascending, each once, without jitter.
    fn slots_of_day(&self, day: i64, slots_s: &mut Vec<i64>) {
        slots_s.clear();
        let day = UtcDay::new(day);
        let mut offset = None;
        for rule in &self.rules {
            match rule {
                Rule::Every(rule) => rule.slots(day.start_s, day.end_s(), slots_s),
                Rule::Civil(rule) => {
                    if day.dates.iter().any(|date| rule.days.has(date.date)) {
                        let offset = offset.get_or_insert_with(|| day.steady_offset(&self.zone));
                        match offset {
                            Some(offset) => day.steady_slots(rule, *offset, slots_s),
                            None => day.slots_near_change(rule, &self.zone, slots_s),
                        }
                    }
                }
            }
        }
        slots_s.retain(|slot_s| (day.start_s..day.end_s()).contains(slot_s));
        slots_s.sort_unstable();
        slots_s.dedup();
    }
}

/// Formats the rules with the times that the spread chose, for people.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_never() {
            return f.write_str("never");
        }
        for (at, rule) in self.rules.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{rule}")?;
        }
        Ok(())
    }
}

/// A day of UTC, and the civil dates that may have slots on it.
struct UtcDay {
    start_s: i64,
    dates: [LocalDate; DATES_COUNT],
}

/// A civil date, and its midnight in UTC.
struct LocalDate {
    date: Date,
    midnight_s: i64,
}

impl UtcDay {
    fn new(day: i64) -> Self {
        let mut midnight_s = (day - DATES_AROUND) * DAY_S;
        let dates = [(); DATES_COUNT].map(|()| {
            let date = TimeZone::UTC.to_datetime(moment(midnight_s)).date();
            midnight_s += DAY_S;
            LocalDate { date, midnight_s: midnight_s - DAY_S }
        });
        Self { start_s: day * DAY_S, dates }
    }

    fn end_s(&self) -> i64 {
        self.start_s + DAY_S
    }

    /// Returns the offset of the zone on this day, if the clock does not change on it and has not
    /// changed on the days before: then no civil time is left out or repeated.
    fn steady_offset(&self, zone: &TimeZone) -> Option<Offset> {
        let change = zone.preceding(moment(self.end_s())).next();
        let is_steady = change.is_none_or(|change| {
            change.timestamp().as_second() < self.start_s - DATES_AROUND * DAY_S
        });
        is_steady.then(|| zone.to_offset(moment(self.start_s)))
    }

    /// Appends the slots of a rule, and some of other days, where the offset is steady.
    fn steady_slots(&self, rule: &CivilRule, offset: Offset, slots_s: &mut Vec<i64>) {
        for date in &self.dates {
            let midnight_s = date.midnight_s - i64::from(offset.seconds());
            let is_near = midnight_s < self.end_s() && midnight_s + DAY_S > self.start_s;
            if is_near && rule.days.has(date.date) {
                slots_s.extend(rule.minutes.iter().map(|at| midnight_s + i64::from(*at) * 60));
            }
        }
    }

    /// Appends the slots of a rule, and some of other days, where the clock may change.
    fn slots_near_change(&self, rule: &CivilRule, zone: &TimeZone, slots_s: &mut Vec<i64>) {
        for date in self.dates.iter().filter(|date| rule.days.has(date.date)) {
            for minute in &rule.minutes {
                let [hour, minute] = [minute / 60, minute % 60]
                    .map(|part| i8::try_from(part).expect("a part of a time of day"));
                let time = date.date.at(hour, minute, 0, 0);
                slots_s.extend(moments_of(time, zone, rule.is_in_both_hours));
            }
        }
    }
}

/// Returns the slots that a civil time means in a zone.
fn moments_of(time: DateTime, zone: &TimeZone, is_in_both_hours: bool) -> Vec<i64> {
    let at = |offset: Offset| {
        offset.to_timestamp(time).expect("the year is far from the ends of the calendar")
    };
    match zone.to_ambiguous_timestamp(time).offset() {
        AmbiguousOffset::Unambiguous { offset } => vec![at(offset).as_second()],
        AmbiguousOffset::Fold { before, after } if is_in_both_hours => {
            vec![at(before).as_second(), at(after).as_second()]
        }
        AmbiguousOffset::Fold { before, .. } => vec![at(before).as_second()],
        AmbiguousOffset::Gap { before, .. } => {
            // The clock that had not been changed shows this time after the change.
            let later = at(before).as_second();
            let change = zone.preceding(moment(later + 1)).next();
            vec![change.map_or(later, |change| change.timestamp().as_second())]
        }
    }
}

/// Returns the moment of a second near the years 1970 to 4981.
fn moment(time_s: i64) -> Timestamp {
    Timestamp::from_second(time_s).expect("the year is far from the ends of the calendar")
}
