//! Calendar rules: hours, days, weeks, months and years of local time.
//!
//! A rule keeps the newest snapshot of each of the last `count` periods that have any; periods
//! without snapshots are not counted. restic and borg do the same. Each rule counts independently.

use jiff::tz::TimeZone;

use super::decision::{DatedSnapshot, Decision, Keep, Miss, Period};

/// Returns a number that identifies the period of a moment.
fn number_of(period: Period, time_s: i64, zone: &TimeZone) -> (i64, i64) {
    let Ok(time) = jiff::Timestamp::from_second(time_s) else {
        // The calendar does not cover this moment: it is a separate period at that end of time.
        return (time_s.signum() * i64::MAX, time_s);
    };
    let local = time.to_zoned(zone.clone());
    let (year, date) = (i64::from(local.year()), local.date());
    match period {
        // The hour that is repeated at the end of summer time counts as two.
        Period::Hour => (
            year,
            time_s.saturating_add(i64::from(local.offset().seconds())).div_euclid(3600) * 2
                + fold(&local),
        ),
        Period::Day => (year, i64::from(date.day_of_year())),
        Period::Week => {
            let week = date.iso_week_date();
            (i64::from(week.year()), i64::from(week.week()))
        }
        Period::Month => (year, i64::from(date.month())),
        Period::Year => (year, 0),
    }
}

/// Returns 1 in the second of two hours with the same local time.
fn fold(local: &jiff::Zoned) -> i64 {
    let first = local.time_zone().to_ambiguous_timestamp(local.datetime()).compatible();
    i64::from(first.is_ok_and(|first| first < local.timestamp()))
}

/// A rule that keeps the newest snapshot of each of the last periods.
pub(super) struct PeriodRule<'a> {
    /// The kind of period.
    pub period: Period,
    /// Number of periods.
    pub count: u32,
    /// Time zone of the calendar.
    pub zone: &'a TimeZone,
}

impl PeriodRule<'_> {
    /// Decides about the `counted` items, which are sorted, newest first.
    pub(super) fn decide(
        &self,
        items: &[DatedSnapshot],
        counted: &[usize],
        decisions: &mut [Decision],
    ) {
        let Self { period, count, zone } = *self;
        let mut current = None;
        let mut rank = 0;
        for at in counted {
            let number = number_of(period, items[*at].time_s, zone);
            let is_first = current.replace(number) != Some(number);
            rank += u32::from(is_first);
            let decision = &mut decisions[*at];
            match (rank <= count, is_first) {
                (true, true) => decision.keeps.push(Keep::Period(period, rank)),
                (true, false) => decision.misses.push(Miss::SamePeriod(period)),
                (false, _) => decision.misses.push(Miss::Period(period, count)),
            }
        }
    }
}
