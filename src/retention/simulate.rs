//! Simulation of a policy over time, with snapshots in the same rhythm as before.

use jiff::tz::TimeZone;

use super::decision::DatedSnapshot;
use super::plan::plan;
use super::policy::Policy;

/// Seconds of a day: the interval at which the policy is applied.
const DAY_S: i64 = 86_400;
/// Most simulated snapshots; for more of them a slower rhythm is simulated.
const STEPS_MAX: i64 = 200_000;
/// Longest distance from 1970 of a snapshot that is simulated, in seconds: about 30,000 years.
const MOMENT_MAX_S: i64 = 1 << 40;
/// Newest snapshots from which the rhythm is computed.
const RHYTHM_ITEMS: usize = 50;

/// Number of snapshots at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayCount {
    /// Seconds from the newest present snapshot: whole days, and the end of the span.
    pub after_s: i64,
    /// Snapshots that are kept then.
    pub kept: usize,
    /// Age of the oldest of them, relative to the newest, in seconds.
    pub oldest_s: i64,
}

/// Result of a simulation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simulation {
    /// Seconds between two snapshots.
    pub rhythm_s: i64,
    /// Whether the rhythm is that of the series; it is a day if the series has fewer than two
    /// snapshots.
    pub is_own_rhythm: bool,
    /// Counts of snapshots, today first, then after each day.
    pub counts: Vec<DayCount>,
    /// Ages in seconds of the remaining snapshots, youngest first.
    pub left_s: Vec<i64>,
}

/// Returns the usual gap between two snapshots in seconds: the median of the newest ones; `None`
/// for fewer than two.
pub fn rhythm_of(items: &[DatedSnapshot]) -> Option<i64> {
    let mut times: Vec<i64> =
        items.iter().filter(|item| is_dated(item)).map(|item| item.time_s).collect();
    times.sort_unstable();
    let newest = &times[times.len().saturating_sub(RHYTHM_ITEMS)..];
    let mut gaps: Vec<i64> = newest.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).map(|gap| (*gap).max(1))
}

fn is_dated(item: &DatedSnapshot) -> bool {
    item.doubt.is_none() && item.time_s.unsigned_abs() < MOMENT_MAX_S.unsigned_abs()
}

/// Applies the policy every day for `span_s` seconds to a series that continues in its rhythm.
pub fn simulate(
    items: &[DatedSnapshot],
    policy: &Policy,
    zone: &TimeZone,
    span_s: i64,
) -> Simulation {
    let own = rhythm_of(items);
    let rhythm_s = own.unwrap_or(DAY_S).max(span_s / STEPS_MAX);
    let span_s = span_s.clamp(0, MOMENT_MAX_S);
    let mut kept: Vec<DatedSnapshot> =
        items.iter().filter(|item| item.doubt.is_some() || is_dated(item)).cloned().collect();
    let newest =
        kept.iter().filter(|item| is_dated(item)).max_by_key(|item| (item.time_s, item.sequence));
    let (start_s, mut sequence) = newest.map_or((0, 0), |item| (item.time_s, item.sequence));
    let mut simulation =
        Simulation { rhythm_s, is_own_rhythm: own.is_some(), ..Simulation::default() };
    let mut newest_s = start_s;
    simulation.counts.push(count(&kept, 0, newest_s));
    let mut counted = false;
    for day_ends_s in day_ends(span_s) {
        let before = sequence;
        while newest_s + rhythm_s <= start_s + day_ends_s {
            newest_s += rhythm_s;
            sequence += 1;
            kept.push(DatedSnapshot { time_s: newest_s, sequence, ..DatedSnapshot::default() });
        }
        let is_part = day_ends_s % DAY_S != 0;
        if is_part && sequence == before && counted {
            // A partial day without a new snapshot changes nothing.
            break;
        }
        // Without new snapshots, applying the policy again changes nothing.
        if sequence > before || !counted {
            let decisions = plan(&kept, policy, zone);
            let mut verdicts = decisions.iter().map(|decision| decision.is_kept());
            kept.retain(|_| verdicts.next().unwrap_or(true));
        }
        counted = true;
        simulation.counts.push(count(&kept, day_ends_s, newest_s));
    }
    // Snapshots with doubtful dates are kept anyway, and show nothing about the policy.
    let dated = kept.iter().filter(|item| is_dated(item));
    simulation.left_s = dated.map(|item| newest_s - item.time_s).collect();
    simulation.left_s.sort_unstable();
    simulation
}

/// Returns the times at which the policy is applied: the end of each day, and the end of the span.
fn day_ends(span_s: i64) -> impl Iterator<Item = i64> {
    let days = span_s / DAY_S;
    (1..=days).map(|day| day * DAY_S).chain((days * DAY_S < span_s || days == 0).then_some(span_s))
}

fn count(kept: &[DatedSnapshot], after_s: i64, newest_s: i64) -> DayCount {
    let dated = kept.iter().filter(|item| is_dated(item));
    let oldest_s = dated.map(|item| newest_s - item.time_s).max().unwrap_or(0);
    DayCount { after_s, kept: kept.len(), oldest_s }
}
