//! Result of one listing of `snapshots/`.
//!
//! Spec: `format-spec/08-snapshots.md`.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::order;
use super::present::BareProtections;
use super::trash::{Forgotten, TrashClock};
use crate::format::entry::Timestamp;
use crate::format::snapshot::Snapshot;
use crate::id::SnapshotId;
use crate::repo::error::{Error, Result};

/// All that `snapshots/` holds, by kind.
#[derive(Default)]
pub struct Listing {
    /// The snapshots, oldest first, without those in the trash and without burnt slots.
    ///
    /// Those of a host are in the order of its chain, even if their dates are not. A snapshot that
    /// is damaged or not signed by this repository's key is replaced by its error.
    pub snapshots: Vec<(SnapshotId, Result<Snapshot>)>,
    /// Snapshots in the trash, in the order in which they were forgotten.
    pub forgotten: Vec<Forgotten>,
    /// Tombstones that are not valid: their snapshots are not forgotten.
    pub faults: Vec<(SnapshotId, Error)>,
    /// Tombstones without a slot, and their length in bytes: their snapshots were removed on
    /// purpose, unless they have a valid protection.
    pub removed: BTreeMap<SnapshotId, u64>,
    /// Protections without a slot.
    pub bare: BareProtections,
    /// All commit slots, burnt or damaged ones too, and their length in bytes.
    pub slots: BTreeMap<SnapshotId, u64>,
    /// Hashes of the snapshots in tombstones whose slots exist.
    pub explained: HashSet<[u8; 32]>,
    /// Snapshots whose slots have a protection, valid or not.
    pub protected: HashSet<SnapshotId>,
    /// Time of each slot by the store's clock, in seconds since 1970, if the store states it.
    pub stored_s: HashMap<SnapshotId, i64>,
    /// The newest time that the store stated, in seconds since 1970.
    pub store_s: Option<i64>,
    /// Time of each snapshot, corrected by the store's times and the chains (`order::moments`).
    pub moments: HashMap<SnapshotId, Timestamp>,
}

impl Listing {
    /// Returns the snapshots that are dated later than the store's time for them, or than `now`.
    pub fn dated_ahead(&self, now: Timestamp) -> Vec<&Snapshot> {
        let latest_s =
            |id| self.stored_s.get(id).map_or(now.seconds, |stored_s| now.seconds.min(*stored_s));
        let good = self.snapshots.iter().filter_map(|(_, snapshot)| snapshot.as_ref().ok());
        good.filter(|snapshot| order::is_ahead(snapshot.started, latest_s(&snapshot.id))).collect()
    }

    /// Returns the clock for the trash window, when the host's clock says `now`.
    pub fn clock(&self, now: Timestamp) -> TrashClock {
        TrashClock { now, store_s: self.store_s }
    }
}
