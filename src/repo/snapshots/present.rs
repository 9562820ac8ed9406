//! Which snapshots one listing of `snapshots/` names. Spec: `format-spec/08-snapshots.md`, sections
//! 5 and 6.

use std::collections::{BTreeSet, HashSet};

use super::protect;
use crate::id::SnapshotId;
use crate::repo::error::Result;
use crate::repo::objects::{layout, parallel};
use crate::repo::open::Repository;
use crate::store::{Class, Listed};

/// The names that `snapshots/` holds.
#[derive(Default)]
pub struct Present {
    /// Commit slots, whatever they hold.
    pub slots: HashSet<SnapshotId>,
    /// Protections without a slot.
    pub bare: BareProtections,
}

impl Present {
    /// Lists them, by one request.
    pub fn list(repository: &Repository) -> Result<Self> {
        Ok(Self::of(&repository.store().list(Class::Snapshots, "")?))
    }

    /// Returns what a listing names.
    pub fn of(listed: &[Listed]) -> Self {
        let slots: HashSet<SnapshotId> =
            listed.iter().filter_map(|object| SnapshotId::from_hex(&object.name)).collect();
        let bare = BareProtections::of(listed, |id| slots.contains(id));
        Self { slots, bare }
    }
}

/// Protections beside which no slot stands. One that holds belongs to a snapshot that is hidden:
/// collectors remove a protection before the slot. One that does not hold says nothing: anyone who
/// may add objects could make it for any snapshot that was dropped.
///
/// They may be many, and are read only where they decide.
#[derive(Clone, Debug, Default)]
pub struct BareProtections(BTreeSet<SnapshotId>);

impl BareProtections {
    /// Returns those in a listing of `snapshots/` beside which `is_slot` says that no slot stands.
    pub fn of(listed: &[Listed], is_slot: impl Fn(&SnapshotId) -> bool) -> Self {
        let protections = listed.iter().filter_map(|object| layout::protection_of(&object.name));
        Self(protections.filter(|id| !is_slot(id)).collect())
    }

    /// Returns whether there is one of this name, whether it holds or not.
    pub fn contains(&self, id: &SnapshotId) -> bool {
        self.0.contains(id)
    }

    /// Returns those of `ids` whose protection holds: no tombstone explains where these went. Reads
    /// those that are named.
    pub fn guarded(
        &self,
        repository: &Repository,
        ids: impl IntoIterator<Item = SnapshotId>,
    ) -> Result<HashSet<SnapshotId>> {
        let named: Vec<SnapshotId> = ids.into_iter().filter(|id| self.contains(id)).collect();
        let read =
            parallel::for_each(repository.store(), &named, |id| protect::holds(repository, id))?;
        let mut guarded = HashSet::new();
        for (id, holds) in named.into_iter().zip(read) {
            if holds? {
                guarded.insert(id);
            }
        }
        Ok(guarded)
    }
}
