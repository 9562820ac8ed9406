//! Application of a policy to one series.

use jiff::tz::TimeZone;

use super::decision::{DatedSnapshot, Decision, Keep, Miss, Period};
use super::policy::Policy;
use super::{calendar, decay};

/// Decides about one series of snapshots; the result has the order of `items`.
///
/// `zone` is the time zone of the calendar rules. The rules for users: `docs/retention.md`.
pub fn plan(items: &[DatedSnapshot], policy: &Policy, zone: &TimeZone) -> Vec<Decision> {
    let mut decisions = vec![Decision::default(); items.len()];
    let mut counted: Vec<usize> = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        match item.doubt {
            Some(doubt) => decisions[at].keeps.push(Keep::Doubt(doubt)),
            None => counted.push(at),
        }
        if item.is_protected {
            decisions[at].keeps.push(Keep::Protected);
        }
    }
    counted.sort_by_key(|at| std::cmp::Reverse((items[*at].time_s, items[*at].sequence, *at)));
    let Some(newest) = counted.first() else {
        return decisions;
    };
    let newest_s = items[*newest].time_s;
    decisions[*newest].keeps.push(Keep::Newest);
    keep_last(&counted, policy, &mut decisions);
    for (period, count) in Period::ALL.into_iter().zip(policy.periods) {
        if let Some(count) = count {
            calendar::PeriodRule { period, count, zone }.decide(items, &counted, &mut decisions);
        }
    }
    for at in &counted {
        keep_simple(&items[*at], newest_s, policy, &mut decisions[*at]);
    }
    if let Some(decay) = policy.decay {
        decay::keep_decayed(items, &counted, decay, &mut decisions);
    }
    decisions
}

fn keep_last(counted: &[usize], policy: &Policy, decisions: &mut [Decision]) {
    let Some(last) = policy.last else {
        return;
    };
    for (rank, at) in (1..).zip(counted) {
        match rank <= last {
            true => decisions[*at].keeps.push(Keep::Last(rank)),
            false => decisions[*at].misses.push(Miss::Last(last)),
        }
    }
}

fn keep_simple(item: &DatedSnapshot, newest_s: i64, policy: &Policy, decision: &mut Decision) {
    if let Some(within_s) = policy.within_s {
        match newest_s.saturating_sub(item.time_s) <= within_s {
            true => decision.keeps.push(Keep::Within),
            false => decision.misses.push(Miss::Within(within_s)),
        }
    }
    if !policy.tags.is_empty() {
        match policy.tags.iter().position(|tag| item.tags.contains(tag)) {
            Some(tag) => decision.keeps.push(Keep::Tag(tag)),
            None => decision.misses.push(Miss::Tags),
        }
    }
}
