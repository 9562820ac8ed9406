//! Which snapshot is newer.
//!
//! A date is what a host's clock said. Within a host the chain gives the order, whatever the dates
//! say; between hosts, and between the branches of a chain that has parted, dates count, as far as
//! the store's times and the chains bear them out. Spec: `format-spec/08-snapshots.md`, section 4.

use std::collections::{BTreeMap, HashMap};

use crate::format::entry::Timestamp;
use crate::format::snapshot::Snapshot;
use crate::id::SnapshotId;
use crate::retention::trust::TOLERANCE_S;

/// Returns the hash that the next snapshot of the same writer and host keeps of this one.
pub fn chain_hash(snapshot: &Snapshot) -> [u8; 32] {
    *blake3::hash(&snapshot.encode()).as_bytes()
}

/// Returns when each snapshot was taken, as far as that is sure: never later than the store had it,
/// nor earlier than the one before it in its host's chain.
///
/// A snapshot that a repair made stands where the one stood that it replaces: its own date says
/// where.
///
/// What is dated later than `now_s` is no witness against what follows it.
pub fn moments(
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
        // A snapshot was there when the store got it, or any that comes after it.
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
        // The latest moment of all that come before a snapshot, and of itself.
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

/// How many snapshots are looked at to find the one that a snapshot follows.
const LOOKED_AT_MAX: usize = 1000;

/// Returns for each snapshot of a chain the place of the one that it follows; the chain is sorted,
/// so that is an earlier one.
///
/// A chain parts where a machine goes back to an older state of itself, or where two have one name:
/// then two snapshots follow the same one. If the one that is followed is not there any more, the
/// one with the next lower sequence stands for it, unless dates and the store say that this one is
/// the later of the two: it is of another branch, and the next is asked. A date in the future
/// proves nothing.
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

/// Returns a date, or when the store knew of the snapshot if that was before.
fn believed(started: Timestamp, known_s: Option<i64>) -> Timestamp {
    match known_s {
        Some(seconds) if is_ahead(started, seconds) => Timestamp { seconds, nanos: 0 },
        _ => started,
    }
}

/// Returns whether a date is later than a moment at which its snapshot was there, by more than
/// clocks differ.
pub fn is_ahead(started: Timestamp, known_s: i64) -> bool {
    started.seconds > known_s.saturating_add(TOLERANCE_S)
}
