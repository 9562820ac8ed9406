//! Whether a policy would take more than anybody expects of it.
//!
//! What goes night after night under one policy is expected, however much it is: hourly snapshots of which days are kept lose nearly all of
//! themselves. Not expected is that a policy which is new to a series takes most of it, or that many snapshots came at once and push out
//! what the policy had kept so far.

use super::rules::{Decision, Item, Miss};

/// A policy that was applied to a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// When, in seconds since 1970.
    pub at_s: i64,
    /// Whether it was the policy that is to be applied now.
    pub is_same: bool,
}

/// What is known of how a series came about.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The last policy; `None` if nobody knows of one.
    pub last: Option<Applied>,
    /// Dates of its snapshots that were forgotten and are still known.
    pub forgotten_s: Vec<i64>,
}

/// Why a series is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// Most of the series would go.
    Series,
    /// Most of what was kept so far would go, because the policy is another one.
    OtherPolicy {
        /// How many would go.
        going: usize,
        /// Of how many.
        of: usize,
    },
    /// Most of what was kept so far would go, because many came at once.
    Flood {
        /// How many would go.
        going: usize,
        /// Of how many.
        of: usize,
        /// How many came since the policy was applied last.
        came: usize,
    },
}

/// How close to one that goes another must be kept for nothing to be lost but a step.
const NEAR_S: i64 = 24 * 3600;
/// A series is young as long as it reaches back no further than this.
const YOUNG_S: i64 = 2 * 24 * 3600;
/// Snapshots of a schedule come at least so far apart; tries come sooner.
const PACE_S: i64 = 15 * 60;
/// How many of the newest snapshots tell the rhythm.
const RHYTHM_ITEMS: usize = 50;

/// Returns what speaks against carrying decisions out that a policy made.
pub fn excess(items: &[Item], decisions: &[Decision], history: &History, now_s: i64) -> Option<Excess> {
    let series = Series::new(items, decisions);
    let Some(last) = history.last else {
        let is_expected = history.forgotten_s.is_empty() && series.is_young_and_paced();
        return (is_most(series.lost(|_| true)) && !is_expected).then_some(Excess::Series);
    };
    let is_old = |time_s: i64| time_s <= last.at_s;
    let (going, of) = series.going(is_old);
    if last.is_same {
        let came = series.0.iter().filter(|one| !is_old(one.time_s)).count();
        let is_flood = is_flood(&series, history, last.at_s, (came, now_s));
        return (is_flood && going * 2 > of).then_some(Excess::Flood { going, of, came });
    }
    if going * 2 > of {
        return Some(Excess::OtherPolicy { going, of });
    }
    is_most(series.lost(|time_s| !is_old(time_s))).then_some(Excess::Series)
}

fn is_most((lost, left): (usize, usize)) -> bool {
    lost > left
}

/// Returns whether many more came since a moment than the rhythm before it lets expect.
fn is_flood(series: &Series, history: &History, at_s: i64, (came, now_s): (usize, i64)) -> bool {
    let known = series.0.iter().map(|one| one.time_s).chain(history.forgotten_s.iter().copied());
    let mut before: Vec<i64> = known.filter(|time_s| *time_s <= at_s).collect();
    before.sort_unstable();
    let newest = &before[before.len().saturating_sub(RHYTHM_ITEMS)..];
    let Some(rhythm_s) = median_gap(newest) else {
        return false;
    };
    let until_s = series.0.last().map_or(now_s, |newest| newest.time_s.max(now_s));
    let expected = until_s.saturating_sub(at_s) / rhythm_s.max(1);
    i64::try_from(came).unwrap_or(i64::MAX) > expected.saturating_mul(2).saturating_add(1)
}

/// Returns the usual distance of sorted moments; `None` for fewer than three.
fn median_gap(times_s: &[i64]) -> Option<i64> {
    let mut gaps: Vec<i64> = times_s.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    gaps.sort_unstable();
    if gaps.len() < 2 { None } else { gaps.get(gaps.len() / 2).copied() }
}

/// A snapshot whose date is sure, and what becomes of it.
#[derive(Clone, Copy)]
struct One {
    time_s: i64,
    is_kept: bool,
    /// Another one of the same hour, day, … or span stays in its place.
    is_thinned: bool,
}

/// Snapshots whose dates are sure, oldest first.
struct Series(Vec<One>);

impl Series {
    fn new(items: &[Item], decisions: &[Decision]) -> Self {
        let sure = items.iter().zip(decisions).filter(|(item, _)| item.doubt.is_none());
        let mut all: Vec<One> = sure
            .map(|(item, decision)| One {
                time_s: item.time_s,
                is_kept: decision.is_kept(),
                is_thinned: decision.misses.iter().any(|miss| matches!(miss, Miss::SamePeriod(_) | Miss::SameSpan(_))),
            })
            .collect();
        all.sort_by_key(|one| one.time_s);
        // In its place, and not far away: of a month of days one that stays is not much.
        let kept_s: Vec<i64> = all.iter().filter(|one| one.is_kept).map(|one| one.time_s).collect();
        for one in &mut all {
            let next = kept_s.partition_point(|time_s| *time_s < one.time_s);
            let around = [next.checked_sub(1).and_then(|at| kept_s.get(at)), kept_s.get(next)];
            one.is_thinned &= around.into_iter().flatten().any(|kept| kept.abs_diff(one.time_s) <= NEAR_S.unsigned_abs());
        }
        Self(all)
    }

    /// Returns how many go of those from such moments, and how many there are.
    fn going(&self, is_meant: impl Fn(i64) -> bool) -> (usize, usize) {
        let meant = self.0.iter().filter(|one| is_meant(one.time_s));
        meant.fold((0, 0), |(going, of), one| (going + usize::from(!one.is_kept), of + 1))
    }

    /// Returns how many go without another in their place, and how many stay.
    fn lost(&self, is_meant: impl Fn(i64) -> bool) -> (usize, usize) {
        let meant = self.0.iter().filter(|one| is_meant(one.time_s));
        meant.fold((0, 0), |(lost, left), one| match (one.is_kept, one.is_thinned) {
            (true, _) => (lost, left + 1),
            (false, true) => (lost, left),
            (false, false) => (lost + 1, left),
        })
    }

    /// Returns whether it has just begun, by a schedule.
    fn is_young_and_paced(&self) -> bool {
        let times_s: Vec<i64> = self.0.iter().map(|one| one.time_s).collect();
        let reach_s = times_s.last().zip(times_s.first()).map_or(0, |(newest, oldest)| newest.saturating_sub(*oldest));
        reach_s <= YOUNG_S && median_gap(&times_s).is_some_and(|gap_s| gap_s >= PACE_S)
    }
}
