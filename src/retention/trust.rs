//! Dates that cannot be right.
//!
//! A host writes the date of its snapshots, so a wrong clock or a thief of a key that can only add can write any. Two witnesses stand against it: the
//! store's time of the snapshot's slot, and the chain, in which each snapshot names the hash of the one before it. A snapshot existed
//! when the store says, and before every snapshot that comes after it in the chain. With neither, the sequence gives the order.

use std::collections::HashMap;

/// What contradicts a snapshot's date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It is dated later than it was stored, or than now.
    Ahead,
    /// It is dated earlier than snapshots of its series that were there before it.
    Behind,
}

/// What is known of a snapshot's date.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// The series that it belongs to, as a number.
    pub series: usize,
    /// When it says that it was taken, in seconds since 1970.
    pub time_s: i64,
    /// When the store got it, by the store's clock, if the store says.
    pub stored_s: Option<i64>,
    /// Its place in its host's chain.
    pub sequence: u64,
    /// Its own hash in the chain.
    pub hash: [u8; 32],
    /// The hash of the one before it.
    pub previous: Option<[u8; 32]>,
}

/// How far dates may contradict each other: clocks differ, and backups of one series may overlap.
pub const TOLERANCE_S: i64 = 3600;
/// How long after its date a snapshot may be stored, in a series whose earlier ones were stored sooner.
///
/// In a repository whose files were copied without their times all are late, and none is suspected.
pub const LATE_S: i64 = 2 * 24 * 3600;

/// Returns what contradicts each date; the answer has the order of `claims`.
///
/// `now_s` counts only for snapshots about which the store says nothing.
pub fn judge(claims: &[Claim], now_s: i64) -> Vec<Option<Doubt>> {
    let known_s = known_since(claims);
    let is_after = |late: i64, early: i64| late > early.saturating_add(TOLERANCE_S);
    let mut doubts: Vec<Option<Doubt>> = claims
        .iter()
        .zip(&known_s)
        .map(|(claim, known)| is_after(claim.time_s, known.unwrap_or(now_s)).then_some(Doubt::Ahead))
        .collect();
    let mut series: HashMap<usize, Vec<usize>> = HashMap::new();
    for (at, claim) in claims.iter().enumerate().filter(|(at, _)| doubts[*at].is_none()) {
        series.entry(claim.series).or_default().push(at);
    }
    for members in series.into_values() {
        judge_series(claims, &known_s, members, &mut doubts);
    }
    doubts
}

/// Finds those of a series that are dated before snapshots that were there before them.
fn judge_series(claims: &[Claim], known_s: &[Option<i64>], mut order: Vec<usize>, doubts: &mut [Option<Doubt>]) {
    // A store tells of all or of none; where it does not, the chain's numbers are the order, and they need no tolerance.
    let by_store = order.iter().all(|at| known_s[*at].is_some());
    let arrival = |at: usize| if by_store { known_s[at].unwrap_or_default() } else { claims[at].sequence.cast_signed() };
    let margin = if by_store { TOLERANCE_S } else { 0 };
    let is_late = |at: usize| by_store && arrival(at).saturating_sub(claims[at].time_s) > LATE_S;
    order.sort_by_key(|at| (arrival(*at), claims[*at].time_s));
    let (mut earlier, mut newest_s, mut was_in_time) = (0, i64::MIN, false);
    for at in &order {
        while arrival(order[earlier]).saturating_add(margin) < arrival(*at) {
            newest_s = newest_s.max(claims[order[earlier]].time_s);
            was_in_time |= !is_late(order[earlier]);
            earlier += 1;
        }
        let is_contradicted = newest_s > claims[*at].time_s.saturating_add(TOLERANCE_S);
        if is_contradicted || is_late(*at) && was_in_time {
            doubts[*at] = Some(Doubt::Behind);
        }
    }
}

/// Returns since when each snapshot is known to exist: since the store got it, or one that comes after it in the chain.
fn known_since(claims: &[Claim]) -> Vec<Option<i64>> {
    let by_hash: HashMap<[u8; 32], usize> = claims.iter().enumerate().map(|(at, claim)| (claim.hash, at)).collect();
    let mut known: Vec<Option<i64>> = claims.iter().map(|claim| claim.stored_s).collect();
    let mut order: Vec<usize> = (0..claims.len()).collect();
    // A snapshot names one with a smaller number, so all that lead to it come first.
    order.sort_by_key(|at| std::cmp::Reverse(claims[*at].sequence));
    for at in order {
        let before = claims[at].previous.and_then(|hash| by_hash.get(&hash));
        if let (Some(before), Some(since)) = (before, known[at]) {
            known[*before] = Some(known[*before].map_or(since, |own| own.min(since)));
        }
    }
    known
}
