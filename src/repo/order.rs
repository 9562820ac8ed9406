//! Which snapshot is newer.
//!
//! A date is what a host's clock said. Within a host the chain gives the order, whatever the dates say; between hosts dates count, as far as the
//! store's times and the chains bear them out. Spec: `format-spec/08-snapshots.md`, section 4.

use std::collections::{BTreeMap, HashMap};

use crate::format::entry::Timestamp;
use crate::format::snapshot::Snapshot;
use crate::id::SnapshotId;
use crate::retention::trust::TOLERANCE_S;

/// Returns when each snapshot was taken, as far as that is sure: never later than the store had it, nor earlier than the one before it in its
/// host's chain.
///
/// A snapshot that a repair made stands where the one stood that it replaces: its own date says where.
pub fn moments(snapshots: &[&Snapshot], stored_s: &HashMap<SnapshotId, i64>) -> HashMap<SnapshotId, Timestamp> {
    let mut chains: BTreeMap<(&str, &[u8; 32]), Vec<&Snapshot>> = BTreeMap::new();
    for snapshot in snapshots {
        chains.entry((&snapshot.host, &snapshot.writer)).or_default().push(snapshot);
    }
    let mut moments = HashMap::with_capacity(snapshots.len());
    for mut chain in chains.into_values() {
        chain.sort_by_key(|snapshot| (snapshot.sequence, snapshot.started, snapshot.id));
        // A snapshot was there when the store got it, or any that comes after it.
        let mut known_s: Vec<Option<i64>> = chain.iter().map(|snapshot| stored_s.get(&snapshot.id).copied()).collect();
        for at in (1..chain.len()).rev() {
            known_s[at - 1] = match (known_s[at - 1], known_s[at]) {
                (Some(own), Some(later)) => Some(own.min(later)),
                (own, later) => own.or(later),
            };
        }
        let mut newest: Option<Timestamp> = None;
        for (snapshot, known_s) in chain.into_iter().zip(known_s) {
            let own = believed(snapshot.started, known_s);
            if snapshot.instead_of().is_some() {
                moments.insert(snapshot.id, own);
                continue;
            }
            let moment = newest.map_or(own, |newest| newest.max(own));
            newest = Some(moment);
            moments.insert(snapshot.id, moment);
        }
    }
    moments
}

/// Returns a date, or when the store knew of the snapshot if that was before.
fn believed(started: Timestamp, known_s: Option<i64>) -> Timestamp {
    match known_s {
        Some(seconds) if is_ahead(started, seconds) => Timestamp { seconds, nanos: 0 },
        _ => started,
    }
}

/// Returns whether a date is later than a moment at which its snapshot was there, by more than clocks differ.
pub fn is_ahead(started: Timestamp, known_s: i64) -> bool {
    started.seconds > known_s.saturating_add(TOLERANCE_S)
}
