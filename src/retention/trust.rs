//! Detection of wrong dates.
//!
//! A host writes the date of its snapshots, so a wrong clock or a thief of a key that can only add
//! can write any. Two witnesses contradict it: the store's time of the snapshot's slot, and the
//! chain, in which each snapshot names the hash of the one before it. A snapshot existed when the
//! store says, and before every snapshot that comes after it in the chain. With neither, the
//! sequence gives the order.

use std::collections::{HashMap, HashSet};

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
pub struct DateClaim {
    /// The series that it belongs to, as a number.
    pub series: usize,
    /// When it says that it was begun, in seconds since 1970.
    pub time_s: i64,
    /// When it says that it was finished.
    pub ended_s: i64,
    /// When the store got it, by the store's clock, if the store says.
    pub stored_s: Option<i64>,
    /// Its place in its host's chain.
    pub sequence: u64,
    /// Its own hash in the chain.
    pub hash: [u8; 32],
    /// The hash of the one before it.
    pub previous: Option<[u8; 32]>,
}

/// What a snapshot's date is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateVerdict {
    /// Rules count it at this moment: its beginning, or, if only its end is borne out, its end.
    Sure(i64),
    /// Its date cannot be right.
    Doubtful(Doubt),
}

impl DateVerdict {
    /// Returns what contradicts the date.
    pub fn doubt(self) -> Option<Doubt> {
        match self {
            Self::Sure(_) => None,
            Self::Doubtful(doubt) => Some(doubt),
        }
    }
}

/// How far dates may contradict each other: clocks differ, and backups of one series may overlap.
pub const TOLERANCE_S: i64 = 3600;
/// How long after its end a snapshot may be stored, in a series most of whose earlier ones were
/// stored sooner.
///
/// In a repository whose files were copied without their times all are late, and none is suspected.
pub const LATE_S: i64 = 2 * DAY_S;
/// How much earlier a late snapshot must have been stored than another one to say that it was there
/// before: a copy stores its own in any order.
const COPYING_S: i64 = DAY_S;
const DAY_S: i64 = 24 * 3600;

/// Returns what each date is worth; the answer has the order of `claims`.
///
/// `now_s` counts only for snapshots about which the store says nothing.
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

/// Finds those of a series that are dated before snapshots that were there before them.
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
        // One that took long, and ended when it says so, is no forgery; but where its beginning
        // would count, others were before it.
        verdicts[*at] = match is_contradicted(claim.ended_s) {
            true => DateVerdict::Doubtful(Doubt::Behind),
            false => DateVerdict::Sure(claim.ended_s),
        };
    }
}

/// What was there before a snapshot.
#[derive(Clone, Copy)]
struct PriorArrivals {
    /// When it arrived, if the store says so of the whole series.
    arrived_s: Option<i64>,
    /// The newest date of what was there before it.
    newest_s: i64,
    /// Whether most of what arrived before it was stored in time.
    most_in_time: bool,
}

/// Finds out what was there before each of a series.
fn arrivals_before_each(
    claims: &[DateClaim],
    known_s: &[Option<i64>],
    members: &[usize],
) -> Vec<PriorArrivals> {
    // A store tells of all or of none; where it does not, the chain's numbers are the order, and
    // they need no tolerance.
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

/// Adds what the chain says: what a snapshot itself names as being before it was there before it,
/// however soon it came after.
///
/// Only dates that the store bears out count: one wrong clock must not make all that come after it
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
    // A snapshot names one with a smaller number, so what leads to it is known first.
    order.sort_by_key(|at| claims[*at].sequence);
    let mut newest_s: Vec<i64> = vec![i64::MIN; members.len()];
    for at in order {
        let mut next = before_in_chain(claims, &by_hash, at);
        // Snapshots of other series may come between.
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

/// Returns the snapshot that another one names as the one before it; it must have a smaller number,
/// so that no chain is a circle.
fn before_in_chain(
    claims: &[DateClaim],
    by_hash: &HashMap<[u8; 32], usize>,
    at: usize,
) -> Option<usize> {
    let before = *by_hash.get(&claims[at].previous?)?;
    (claims[before].sequence < claims[at].sequence).then_some(before)
}

/// Returns since when each snapshot is known to exist: since the store got it, or one that comes
/// after it in the chain.
fn known_since(claims: &[DateClaim]) -> Vec<Option<i64>> {
    let by_hash: HashMap<[u8; 32], usize> =
        claims.iter().enumerate().map(|(at, claim)| (claim.hash, at)).collect();
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
