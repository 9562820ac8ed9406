//! Guard against a policy that would forget too much at once.
//!
//! What one policy removes night after night is expected, however much it is: a daily rule removes
//! nearly all hourly snapshots. It is not expected that a policy that is new to a series removes
//! most of it, or that many snapshots came at once and displace those that the policy kept so far.

use std::collections::HashMap;

use super::decision::{DatedSnapshot, Decision, Miss};
use super::rhythm::{self, Moment, PriorRhythm};

/// A policy that was applied to a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// When, in seconds since 1970.
    pub at_s: i64,
    /// Whether it is the policy that is to be applied now.
    pub is_same: bool,
}

/// The known history of a series.
#[derive(Clone, Debug, Default)]
pub struct SeriesHistory {
    /// The last policy; `None` if none is known.
    pub last: Option<Applied>,
    /// Its forgotten snapshots that are still in the trash.
    pub forgotten: Vec<Moment>,
    /// The usual gap in seconds between its snapshots, as noted before the last policy removed
    /// some.
    pub gap_s: Option<i64>,
}

/// Why a plan for a series is excessive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// Most of the series would go.
    Series,
    /// Most of the snapshots kept so far would go, because the policy is another one.
    OtherPolicy {
        /// Snapshots that would go.
        going: usize,
        /// Snapshots that count.
        of: usize,
    },
    /// Most of the snapshots kept so far would go, because many came at once.
    Flood {
        /// Snapshots that would go.
        going: usize,
        /// Snapshots that count.
        of: usize,
        /// Snapshots that came since the policy was last applied.
        came: usize,
    },
}

/// Longest distance to a kept snapshot at which a removed one counts as thinned out, not as lost.
const NEAR_S: i64 = 24 * 3600;
/// Longest time span of a young series.
const YOUNG_S: i64 = 2 * 24 * 3600;
/// Least gap between snapshots of a schedule; manual attempts come closer together.
const PACE_S: i64 = 15 * 60;
/// Returns why the decisions of a policy are excessive, if they are.
pub fn excess(
    items: &[DatedSnapshot],
    decisions: &[Decision],
    history: &SeriesHistory,
    now_s: i64,
) -> Option<Excess> {
    let series = DatedSeries::new(items, decisions);
    let Some(last) = history.last else {
        let is_expected = history.forgotten.is_empty() && series.is_young_and_paced();
        return (series.loses_most(|_| true) && !is_expected).then_some(Excess::Series);
    };
    let is_old = |time_s: i64| time_s <= last.at_s;
    let (going, of) = series.going(is_old);
    if last.is_same {
        let came = series.moments(|time_s| !is_old(time_s));
        let is_flood = going * 2 > of && is_flood(&series, history, last.at_s, &came, now_s);
        return is_flood.then_some(Excess::Flood { going, of, came: came.len() });
    }
    if going * 2 > of {
        return Some(Excess::OtherPolicy { going, of });
    }
    series.loses_most(|time_s| !is_old(time_s)).then_some(Excess::Series)
}

fn is_flood(
    series: &DatedSeries,
    history: &SeriesHistory,
    at_s: i64,
    came: &[Moment],
    now_s: i64,
) -> bool {
    let mut before = series.moments(|time_s| time_s <= at_s);
    before.extend(history.forgotten.iter().filter(|moment| moment.time_s <= at_s));
    let until_s = series.0.last().map_or(now_s, |newest| newest.at.time_s.max(now_s));
    let before = PriorRhythm {
        moments: &before,
        noted_s: history.gap_s,
        is_whole: !history.forgotten.is_empty(),
    };
    rhythm::is_flood(&before, came, at_s, until_s)
}

/// A snapshot with a trusted date, and its decision.
#[derive(Clone, Copy)]
struct SeriesMember {
    at: Moment,
    is_kept: bool,
    /// Another snapshot of the same source, and the same period or span, is kept in its place.
    is_thinned: bool,
}

/// The snapshots of a series with trusted dates, oldest first.
struct DatedSeries(Vec<SeriesMember>);

impl DatedSeries {
    fn new(items: &[DatedSnapshot], decisions: &[Decision]) -> Self {
        let sure = items.iter().zip(decisions).filter(|(item, _)| item.doubt.is_none());
        let mut all: Vec<SeriesMember> = sure
            .map(|(item, decision)| SeriesMember {
                at: item.moment(),
                is_kept: decision.is_kept(),
                is_thinned: decision
                    .misses
                    .iter()
                    .any(|miss| matches!(miss, Miss::SamePeriod(_) | Miss::SameSpan(_))),
            })
            .collect();
        all.sort_by_key(|one| one.at.time_s);
        // The kept snapshot must be near: one day of a month does not replace the others. It must
        // have the same source: one host's days do not replace another's.
        let mut kept_s: HashMap<usize, Vec<i64>> = HashMap::new();
        for one in all.iter().filter(|one| one.is_kept) {
            kept_s.entry(one.at.source).or_default().push(one.at.time_s);
        }
        for one in &mut all {
            let kept_s = kept_s.get(&one.at.source).map_or(&[][..], Vec::as_slice);
            let next = kept_s.partition_point(|time_s| *time_s < one.at.time_s);
            let around = [next.checked_sub(1).and_then(|at| kept_s.get(at)), kept_s.get(next)];
            one.is_thinned &= around
                .into_iter()
                .flatten()
                .any(|kept| kept.abs_diff(one.at.time_s) <= NEAR_S.unsigned_abs());
        }
        Self(all)
    }

    fn moments(&self, is_meant: impl Fn(i64) -> bool) -> Vec<Moment> {
        self.0.iter().map(|one| one.at).filter(|at| is_meant(at.time_s)).collect()
    }

    /// Returns how many snapshots go of those whose moments are meant, and how many there are.
    fn going(&self, is_meant: impl Fn(i64) -> bool) -> (usize, usize) {
        let meant = self.0.iter().filter(|one| is_meant(one.at.time_s));
        meant.fold((0, 0), |(going, of), one| (going + usize::from(!one.is_kept), of + 1))
    }

    /// Returns whether, of those whose moments are meant, more are lost without a replacement than
    /// stay.
    fn loses_most(&self, is_meant: impl Fn(i64) -> bool) -> bool {
        let meant = self.0.iter().filter(|one| is_meant(one.at.time_s));
        let (lost, left) =
            meant.fold((0usize, 0usize), |(lost, left), one| match (one.is_kept, one.is_thinned) {
                (true, _) => (lost, left + 1),
                (false, true) => (lost, left),
                (false, false) => (lost + 1, left),
            });
        lost > left
    }

    /// Returns whether the series is young and follows a schedule.
    fn is_young_and_paced(&self) -> bool {
        let (first, last) = (self.0.first(), self.0.last());
        let reach_s = first
            .zip(last)
            .map_or(0, |(first, last)| last.at.time_s.saturating_sub(first.at.time_s));
        let gaps_s = rhythm::gaps_s(&self.moments(|_| true));
        reach_s <= YOUNG_S && gaps_s.into_iter().flatten().all(|gap_s| gap_s >= PACE_S)
    }
}
