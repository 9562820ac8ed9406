//! Detection of wrong dates.
//!
//! A host states the dates of its snapshots, so a wrong clock, or a thief of a key who can only add
//! objects, can state any. Two kinds of evidence contradict a date: the store's time of the
//! snapshot's slot, and the chain, in which each snapshot names the hash of its predecessor. A
//! snapshot existed at the store's time, and before all its successors in the chain. Without a
//! store's time, the sequence numbers give the order.

use std::collections::{HashMap, HashSet};

/// Why a snapshot's date is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Its date is later than the time at which it was stored, or than now.
    Ahead,
    /// Its date is earlier than those of snapshots of its series that existed before it.
    Behind,
}

/// The stated date of a snapshot, with the evidence about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DateClaim {
    /// Number of its series.
    pub series: usize,
    /// Its stated beginning, in seconds since 1970.
    pub time_s: i64,
    /// Its stated end.
    pub ended_s: i64,
    /// The time at which it was stored, by the store's clock, if the store states times.
    pub stored_s: Option<i64>,
    /// Its number in its host's chain.
    pub sequence: u64,
    /// Its own hash in the chain.
    pub hash: [u8; 32],
    /// The hash of its predecessor.
    pub previous: Option<[u8; 32]>,
}

/// The judgement of a snapshot's date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateVerdict {
    /// Rules use this time: its beginning, or its end if only that is confirmed.
    Sure(i64),
    /// Its date is not trusted.
    Doubtful(Doubt),
}

impl DateVerdict {
    /// Returns why the date is not trusted.
    pub fn doubt(self) -> Option<Doubt> {
        match self {
            Self::Sure(_) => None,
            Self::Doubtful(doubt) => Some(doubt),
        }
    }
}

/// Tolerated contradiction between dates: clocks differ, and backups of one series may overlap.
pub const TOLERANCE_S: i64 = 3600;
/// Longest time after its end at which a snapshot may be stored, in a series of which most earlier
/// snapshots were stored sooner.
///
/// In a repository that was copied without the times of its files all are late, and none is
/// suspected.
pub const LATE_S: i64 = 2 * DAY_S;
/// How much earlier than another snapshot a late one must have been stored to count as older: a
/// copy may store snapshots in any order.
const COPYING_S: i64 = DAY_S;
const DAY_S: i64 = 24 * 3600;

/// Judges all dates; the result has the order of `claims`.
///
/// `now_s` is used only for snapshots without a store's time.
pub fn judge(claims: &[DateClaim], now_s: i64) -> Vec<DateVerdict> {
    let known_s = known_since(claims);
    let judge_alone = |(claim, known): (&DateClaim, &Option<i64>)| {
        let latest_s = known.unwrap_or(now_s).saturating_add(TOLERANCE_S);
        match claim.time_s.max(claim.ended_s) > latest_s {
            true => DateVerdict::Doubtful(Doubt::Ahead),
            false => DateVerdict::Sure(claim.time_s),
        }
    };
    let mut verdicts: Vec<DateVerdict> = claims.iter().zip(&known_s).map(judge_alone).collect();
    let mut series: HashMap<usize, Vec<usize>> = HashMap::new();
    for (at, claim) in claims.iter().enumerate().filter(|(at, _)| verdicts[*at].doubt().is_none()) {
        series.entry(claim.series).or_default().push(at);
    }
    for members in series.into_values() {
        judge_series(claims, &known_s, &members, &mut verdicts);
    }
    verdicts
}

/// Finds snapshots of a series with earlier dates than snapshots that existed before them.
fn judge_series(
    claims: &[DateClaim],
    known_s: &[Option<i64>],
    members: &[usize],
    verdicts: &mut [DateVerdict],
) {
    let before = arrivals_before_each(claims, known_s, members);
    for (at, before) in members.iter().zip(before) {
        let claim = &claims[*at];
        let is_contradicted = |time_s: i64| {
            let is_late = before.most_in_time
                && before.arrived_s.is_some_and(|arrived| arrived.saturating_sub(time_s) > LATE_S);
            is_late || before.newest_s > time_s.saturating_add(TOLERANCE_S)
        };
        if !is_contradicted(claim.time_s) {
            continue;
        }
        // A long backup with a confirmed end is no forgery, but it counts at its end, because
        // others existed before that.
        verdicts[*at] = match is_contradicted(claim.ended_s) {
            true => DateVerdict::Doubtful(Doubt::Behind),
            false => DateVerdict::Sure(claim.ended_s),
        };
    }
}

/// The snapshots that existed before a snapshot.
#[derive(Clone, Copy)]
struct PriorArrivals {
    /// The time at which it was stored, if that is known for the whole series.
    arrived_s: Option<i64>,
    /// The newest date of the snapshots before it.
    newest_s: i64,
    /// Whether most of the snapshots before it were stored in time.
    most_in_time: bool,
}

/// Finds the snapshots that existed before each member of a series.
fn arrivals_before_each(
    claims: &[DateClaim],
    known_s: &[Option<i64>],
    members: &[usize],
) -> Vec<PriorArrivals> {
    // A store states times for all snapshots or for none; without them the sequence numbers are the
    // order, and need no tolerance.
    let by_store = members.iter().all(|at| known_s[*at].is_some());
    let arrival = |at: usize| {
        if by_store { known_s[at].unwrap_or_default() } else { claims[at].sequence.cast_signed() }
    };
    let is_late = |at: usize| by_store && arrival(at).saturating_sub(claims[at].ended_s) > LATE_S;
    let margin = |is_late: bool| match (by_store, is_late) {
        (false, _) => 0,
        (true, false) => TOLERANCE_S,
        (true, true) => COPYING_S,
    };
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|place| (arrival(members[*place]), claims[members[*place]].time_s));
    let (late, in_time): (Vec<usize>, Vec<usize>) =
        order.iter().map(|place| members[*place]).partition(|at| is_late(*at));
    let mut found = vec![
        PriorArrivals { arrived_s: None, newest_s: i64::MIN, most_in_time: false };
        members.len()
    ];
    for (witnesses, margin) in [(&in_time, margin(false)), (&late, margin(true))] {
        let (mut earlier, mut newest_s) = (0, i64::MIN);
        for place in &order {
            let arrived = arrival(members[*place]);
            while witnesses
                .get(earlier)
                .is_some_and(|at| arrival(*at).saturating_add(margin) < arrived)
            {
                newest_s = newest_s.max(claims[witnesses[earlier]].time_s);
                earlier += 1;
            }
            found[*place].newest_s = found[*place].newest_s.max(newest_s);
        }
    }
    if by_store {
        let (mut earlier, mut earlier_late) = (0, 0);
        for place in &order {
            let arrived = arrival(members[*place]);
            let is_before = |at: &usize| arrival(*at).saturating_add(TOLERANCE_S) < arrived;
            earlier += in_time[earlier..].iter().take_while(|at| is_before(at)).count();
            earlier_late += late[earlier_late..].iter().take_while(|at| is_before(at)).count();
            found[*place].most_in_time = earlier > earlier_late;
            found[*place].arrived_s = Some(arrived);
        }
        add_chain(claims, members, &in_time, &mut found);
    }
    found
}

/// Adds the evidence of the chain: predecessors existed before a snapshot, however short the time
/// between them.
///
/// Only dates that the store confirms count: one wrong clock must not make all later snapshots
/// doubtful.
fn add_chain(
    claims: &[DateClaim],
    members: &[usize],
    in_time: &[usize],
    found: &mut [PriorArrivals],
) {
    let by_hash: HashMap<[u8; 32], usize> =
        claims.iter().enumerate().map(|(at, claim)| (claim.hash, at)).collect();
    let places: HashMap<usize, usize> =
        members.iter().enumerate().map(|(place, at)| (*at, place)).collect();
    let in_time: HashSet<usize> = in_time.iter().copied().collect();
    let mut order: Vec<usize> = members.to_vec();
    // A predecessor has a smaller number, so it is processed first.
    order.sort_by_key(|at| claims[*at].sequence);
    let mut newest_s: Vec<i64> = vec![i64::MIN; members.len()];
    for at in order {
        let mut next = before_in_chain(claims, &by_hash, at);
        // Skips snapshots of other series.
        while let Some(other) = next.filter(|other| !places.contains_key(other)) {
            next = before_in_chain(claims, &by_hash, other);
        }
        let Some((before, place)) = next.and_then(|before| Some((before, *places.get(&before)?)))
        else {
            continue;
        };
        let own_s = if in_time.contains(&before) { claims[before].time_s } else { i64::MIN };
        let known_s = own_s.max(newest_s[place]);
        newest_s[places[&at]] = known_s;
        found[places[&at]].newest_s = found[places[&at]].newest_s.max(known_s);
    }
}

/// Returns the predecessor of a snapshot; it must have a smaller number, so that a chain cannot be
/// a circle.
fn before_in_chain(
    claims: &[DateClaim],
    by_hash: &HashMap<[u8; 32], usize>,
    at: usize,
) -> Option<usize> {
    let before = *by_hash.get(&claims[at].previous?)?;
    (claims[before].sequence < claims[at].sequence).then_some(before)
}

/// Returns since when each snapshot is known to exist: since it, or a successor in the chain, was
/// stored.
fn known_since(claims: &[DateClaim]) -> Vec<Option<i64>> {
    let by_hash: HashMap<[u8; 32], usize> =
        claims.iter().enumerate().map(|(at, claim)| (claim.hash, at)).collect();
    let mut known: Vec<Option<i64>> = claims.iter().map(|claim| claim.stored_s).collect();
    let mut order: Vec<usize> = (0..claims.len()).collect();
    // A predecessor has a smaller number, so all successors are processed first.
    order.sort_by_key(|at| std::cmp::Reverse(claims[*at].sequence));
    for at in order {
        let before = claims[at].previous.and_then(|hash| by_hash.get(&hash));
        if let (Some(before), Some(since)) = (before, known[at]) {
            known[*before] = Some(known[*before].map_or(since, |own| own.min(since)));
        }
    }
    known
}
