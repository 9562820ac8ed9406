//! Rhythm of a series (its usual gaps), and detection of floods of snapshots.

use std::collections::BTreeMap;

/// Time and source of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Number of its source: one host, app and set of paths.
    pub source: usize,
    /// Time in seconds since 1970.
    pub time_s: i64,
}

/// Newest snapshots of a source from which its rhythm is computed.
const RHYTHM_ITEMS: usize = 50;
/// Rates of sources are summed as snapshots per this many seconds.
const RATE_S: i64 = 1 << 50;

/// Returns the usual gap of each source; `None` for a source with a single snapshot.
pub fn gaps_s(moments: &[Moment]) -> Vec<Option<i64>> {
    let mut sources: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
    for moment in moments {
        sources.entry(moment.source).or_default().push(moment.time_s);
    }
    sources.into_values().map(usual_of_one).collect()
}

/// Returns the usual gap between snapshots of all sources together; `None` if each has a single
/// one.
pub fn usual_gap_s(moments: &[Moment]) -> Option<i64> {
    let gaps_s = gaps_s(moments);
    let usual_s = median(gaps_s.iter().flatten().copied().collect())?;
    // A source with one snapshot is assumed to be like the others.
    let rates = gaps_s.iter().map(|gap_s| RATE_S / gap_s.unwrap_or(usual_s).max(1));
    Some((RATE_S / rates.fold(0, i64::saturating_add).max(1)).max(1))
}

fn usual_of_one(mut times_s: Vec<i64>) -> Option<i64> {
    times_s.sort_unstable();
    let newest = &times_s[times_s.len().saturating_sub(RHYTHM_ITEMS)..];
    median(newest.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect())
}

fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// The rhythm before new snapshots came.
pub struct PriorRhythm<'a> {
    /// Snapshots of that time, including forgotten ones.
    pub moments: &'a [Moment],
    /// The usual gap of that time, noted when all of them existed.
    pub noted_s: Option<i64>,
    /// Whether `moments` show the rhythm: in a series that was thinned out, only few are left of
    /// many.
    pub is_whole: bool,
}

/// Returns whether many more snapshots came since a moment than the rhythm before it predicts.
///
/// If the rhythm is not known, it is a flood unless they are few or spread over the time.
pub fn is_flood(before: &PriorRhythm, came: &[Moment], since_s: i64, until_s: i64) -> bool {
    let seen_s = usual_gap_s(before.moments);
    let is_known = before.noted_s.is_some() || (seen_s.is_some() && before.is_whole);
    if !is_known && is_spread(came, since_s, until_s) {
        return false;
    }
    let time_s = until_s.saturating_sub(since_s).max(0);
    // A series that was thinned out had snapshots at least as often as the policy was applied.
    let least_s = Some(time_s).filter(|_| seen_s.is_some() && !is_known);
    // If no source has two snapshots, each source is judged alone, and one new snapshot is
    // expected.
    let (count, expected) = match seen_s.into_iter().chain(before.noted_s).chain(least_s).min() {
        Some(gap_s) => (came.len(), time_s / gap_s.max(1)),
        None => (most_of_one(came), 1),
    };
    i64::try_from(count).unwrap_or(i64::MAX) > expected.saturating_mul(2).saturating_add(1)
}

fn most_of_one(moments: &[Moment]) -> usize {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    moments.iter().for_each(|moment| *counts.entry(moment.source).or_default() += 1);
    counts.into_values().max().unwrap_or(0)
}

/// Returns whether at least a quarter of them came in each half of the time.
fn is_spread(came: &[Moment], since_s: i64, until_s: i64) -> bool {
    let middle_s = since_s.saturating_add(until_s.saturating_sub(since_s) / 2);
    let late = came.iter().filter(|moment| moment.time_s > middle_s).count();
    late * 4 >= came.len() && (came.len() - late) * 4 >= came.len()
}
