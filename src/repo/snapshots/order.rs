//! Order of snapshots in time.
//!
//! A date is only what a host's clock said. For one host, the chain gives the order. Between hosts,
//! and between the branches of a forked chain, dates count, corrected by the store's times and the
//! chains.
//!
//! Spec: `format-spec/08-snapshots.md`, section 4.

use std::collections::{BTreeMap, HashMap};

use crate::format::entry::Timestamp;
use crate::format::snapshot::Snapshot;
use crate::id::SnapshotId;
use crate::retention::trust::TOLERANCE_S;

/// Returns the hash by which the next snapshot of the same writer and host names this one.
pub fn chain_hash(snapshot: &Snapshot) -> [u8; 32] {
    *blake3::hash(&snapshot.encode()).as_bytes()
}

/// Returns the time of each snapshot: its date, but not later than the store's time for it, nor
/// earlier than the previous one in its host's chain.
///
/// A snapshot that a repair made takes the place of the one that it replaces, so its own date
/// counts.
///
/// A snapshot that is dated later than `now_s` does not move those after it.
pub(super) fn moments(
    snapshots: &[&Snapshot],
    stored_s: &HashMap<SnapshotId, i64>,
    now_s: i64,
) -> HashMap<SnapshotId, Timestamp> {
    let mut chains: BTreeMap<(&str, &[u8; 32]), Vec<&Snapshot>> = BTreeMap::new();
    for snapshot in snapshots {
        chains.entry((&snapshot.host, &snapshot.writer)).or_default().push(snapshot);
    }
    let mut moments = HashMap::with_capacity(snapshots.len());
    for mut chain in chains.into_values() {
        chain.sort_by_key(|snapshot| (snapshot.sequence, snapshot.started, snapshot.id));
        let before = places_before(&chain, stored_s, now_s);
        // A snapshot existed when the store got it, or any later one of its chain.
        let mut known_s: Vec<Option<i64>> =
            chain.iter().map(|snapshot| stored_s.get(&snapshot.id).copied()).collect();
        for at in (0..chain.len()).rev() {
            if let Some(before) = before[at] {
                known_s[before] = match (known_s[before], known_s[at]) {
                    (Some(own), Some(later)) => Some(own.min(later)),
                    (own, later) => own.or(later),
                };
            }
        }
        // For each snapshot, the latest time of itself and of all before it.
        let mut newest: Vec<Option<Timestamp>> = Vec::with_capacity(chain.len());
        for (at, snapshot) in chain.iter().enumerate() {
            let own = believed(snapshot.started, known_s[at]);
            let of_before = before[at].and_then(|before| newest[before]);
            let is_in_anothers_place = snapshot.instead_of().is_some();
            let moment =
                of_before.filter(|_| !is_in_anothers_place).map_or(own, |before| before.max(own));
            newest.push(if is_in_anothers_place { of_before } else { Some(moment) });
            moments.insert(snapshot.id, moment);
        }
    }
    moments
}

/// Number of snapshots that are examined to find the one that a snapshot follows.
const LOOKED_AT_MAX: usize = 1000;

/// Returns for each snapshot of a sorted chain the index of the one that it follows, which is a
/// lower one.
///
/// A chain forks if a machine is set back to an older state, or if two machines have one name: then
/// two snapshots follow the same one. If the previous snapshot is missing, the one with the next
/// lower sequence number is used instead. But if that one is later by both date and store, it is of
/// another branch and is skipped. A date in the future proves nothing.
fn places_before(
    chain: &[&Snapshot],
    stored_s: &HashMap<SnapshotId, i64>,
    now_s: i64,
) -> Vec<Option<usize>> {
    let places: HashMap<[u8; 32], usize> =
        chain.iter().enumerate().map(|(at, snapshot)| (chain_hash(snapshot), at)).collect();
    let is_later = |one: &Snapshot, other: &Snapshot| {
        let stored = |snapshot: &Snapshot| stored_s.get(&snapshot.id);
        one.started > other.started
            && !is_ahead(one.started, now_s)
            && matches!((stored(one), stored(other)), (Some(one), Some(other)) if one > other)
    };
    let place_before = |(at, snapshot): (usize, &&Snapshot)| {
        let known = places.get(snapshot.previous.as_ref()?).copied().filter(|before| *before < at);
        let lower = || {
            let mut lower = (0..at)
                .rev()
                .filter(|before| chain[*before].sequence < snapshot.sequence)
                .take(LOOKED_AT_MAX);
            lower.find(|before| !is_later(chain[*before], snapshot))
        };
        known.or_else(lower)
    };
    chain.iter().enumerate().map(place_before).collect()
}

/// Returns the date of a snapshot, or the time at which it was known to exist if that is earlier.
fn believed(started: Timestamp, known_s: Option<i64>) -> Timestamp {
    match known_s {
        Some(seconds) if is_ahead(started, seconds) => Timestamp { seconds, nanos: 0 },
        _ => started,
    }
}

/// Returns whether a date is later than a time at which the snapshot existed, by more than the
/// tolerance for clocks.
pub(super) fn is_ahead(started: Timestamp, known_s: i64) -> bool {
    started.seconds > known_s.saturating_add(TOLERANCE_S)
}
