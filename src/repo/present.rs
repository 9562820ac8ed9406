//! Which snapshots one listing of `snapshots/` names. Spec: `format-spec/08-snapshots.md`, sections 5 and 6.

use std::collections::HashSet;

use super::error::Result;
use super::open::Repository;
use super::protect;
use crate::id::SnapshotId;
use crate::store::{Class, Listed};

/// The names that `snapshots/` holds.
#[derive(Default)]
pub struct Present {
    /// Commit slots, whatever they hold.
    pub slots: HashSet<SnapshotId>,
    /// Protections that hold, without a slot: nobody drops what is protected, so no tombstone explains where these went.
    pub guarded: HashSet<SnapshotId>,
}

impl Present {
    /// Lists them, by one request where no protection is without a slot.
    pub fn list(repository: &Repository) -> Result<Self> {
        Self::of(repository, &repository.store().list(Class::Snapshots, "")?)
    }

    /// Returns what a listing names; asks the store about each protection without a slot.
    pub fn of(repository: &Repository, listed: &[Listed]) -> Result<Self> {
        let slots: HashSet<SnapshotId> = listed.iter().filter_map(|object| SnapshotId::from_hex(&object.name)).collect();
        let guarded = protect::without_slot(repository, listed, |id| slots.contains(id))?;
        Ok(Self { slots, guarded })
    }
}
