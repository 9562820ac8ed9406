//! What one listing of `snapshots/` shows. Spec: `format-spec/08-snapshots.md`.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::order;
use super::present::BareProtections;
use super::trash::{Forgotten, TrashClock};
use crate::format::entry::Timestamp;
use crate::format::snapshot::Snapshot;
use crate::id::SnapshotId;
use crate::repo::error::{Error, Result};

/// Everything that `snapshots/` holds, by what it is.
#[derive(Default)]
pub struct Listing {
    /// The snapshots, oldest first, without those in the trash; slots that a collector burnt are
    /// left out.
    ///
    /// Those of a host stand in the order of its chain, whatever their dates say. One that is
    /// damaged or not signed by this repository's key is its error, beside the good ones.
    pub snapshots: Vec<(SnapshotId, Result<Snapshot>)>,
    /// Snapshots in the trash, the longest forgotten first.
    pub forgotten: Vec<Forgotten>,
    /// Tombstones that do not hold: their snapshots are not forgotten.
    pub faults: Vec<(SnapshotId, Error)>,
    /// Tombstones without a slot, and their length in bytes: what they are about was removed on
    /// purpose, unless a protection holds.
    pub removed: BTreeMap<SnapshotId, u64>,
    /// Protections without a slot.
    pub bare: BareProtections,
    /// Every commit slot, whatever it holds, and its length in bytes.
    pub slots: BTreeMap<SnapshotId, u64>,
    /// Hashes of the snapshots that tombstones beside slots are about.
    pub explained: HashSet<[u8; 32]>,
    /// Snapshots beside whose slot a protection stands, whether it holds or not.
    pub protected: HashSet<SnapshotId>,
    /// When each slot was made, by the store's clock, in seconds since 1970, if the store says.
    pub stored_s: HashMap<SnapshotId, i64>,
    /// The newest time that the store stated, in seconds since 1970.
    pub store_s: Option<i64>,
    /// When each of the snapshots was taken, as far as that is sure (`order::moments`).
    pub moments: HashMap<SnapshotId, Timestamp>,
}

impl Listing {
    /// Returns the snapshots that are dated later than the store got them, or than `now`.
    pub fn dated_ahead(&self, now: Timestamp) -> Vec<&Snapshot> {
        let latest_s =
            |id| self.stored_s.get(id).map_or(now.seconds, |stored_s| now.seconds.min(*stored_s));
        let good = self.snapshots.iter().filter_map(|(_, snapshot)| snapshot.as_ref().ok());
        good.filter(|snapshot| order::is_ahead(snapshot.started, latest_s(&snapshot.id))).collect()
    }

    /// Returns what time it is for the trash window, when the host's clock says `now`.
    pub fn clock(&self, now: Timestamp) -> TrashClock {
        TrashClock { now, store_s: self.store_s }
    }
}
