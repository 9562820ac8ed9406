//! Names in a listing of `snapshots/`.
//!
//! Spec: `format-spec/08-snapshots.md`, sections 5 and 6.

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
    /// Commit slots, burnt or damaged ones too.
    pub slots: HashSet<SnapshotId>,
    /// Protections without a slot.
    pub bare: BareProtections,
}

impl Present {
    /// Lists the names, by one request.
    pub fn list(repository: &Repository) -> Result<Self> {
        Ok(Self::of(&repository.store().list(Class::Snapshots, "")?))
    }

    /// Returns the names in a listing.
    pub fn of(listed: &[Listed]) -> Self {
        let slots: HashSet<SnapshotId> =
            listed.iter().filter_map(|object| SnapshotId::from_hex(&object.name)).collect();
        let bare = BareProtections::of(listed, |id| slots.contains(id));
        Self { slots, bare }
    }
}

/// Protections without a slot. A valid one shows that its snapshot is hidden, because collectors
/// remove a protection before the slot. One that is not valid shows nothing: anyone who may add
/// objects can make one for any dropped snapshot.
///
/// There may be many, so they are read only where they decide.
#[derive(Clone, Debug, Default)]
pub struct BareProtections(BTreeSet<SnapshotId>);

impl BareProtections {
    /// Returns the protections in a listing of `snapshots/` for which `is_slot` returns false.
    pub fn of(listed: &[Listed], is_slot: impl Fn(&SnapshotId) -> bool) -> Self {
        let protections = listed.iter().filter_map(|object| layout::protection_of(&object.name));
        Self(protections.filter(|id| !is_slot(id)).collect())
    }

    /// Returns whether a snapshot has such a protection, valid or not.
    pub fn contains(&self, id: &SnapshotId) -> bool {
        self.0.contains(id)
    }

    /// Returns those of `ids` with a valid protection: no tombstone explains why these are missing.
    /// Reads only the protections of `ids`.
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
