//! Protected snapshots, which neither a policy nor their name in `forget` can forget.
//!
//! Spec: `format-spec/08-snapshots.md`, section 6.

use super::signed_marks::{self, ForgetNote, MarkKind};
use crate::format::tombstone::Tombstone;
use crate::id::SnapshotId;
use crate::repo::error::{Error, Result};
use crate::repo::objects::layout;
use crate::repo::open::{Repository, check_writable};
use crate::store::ErrorKind;

/// Protects a snapshot. Returns false if it was protected already.
///
/// `hash` is the snapshot's `chain_hash`. [`Repository::confirm_key`] must have been called. Fails
/// with `InTrash` if another process forgets the snapshot meanwhile (it stays protected in the
/// trash), and with `Collected` if a collector drops it (the protection is removed).
pub fn protect(
    repository: &Repository,
    id: &SnapshotId,
    hash: [u8; 32],
    note: &ForgetNote,
) -> Result<bool> {
    let is_new =
        signed_marks::create(repository, MarkKind::Protection, id, Some(hash), note)?.is_some();
    match repository.store().stat(&layout::tombstone_key(id)) {
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(is_new),
        stat => stat.map(drop)?,
    }
    match repository.store().stat(&layout::snapshot_key(id)) {
        // A protection without a slot would mean that the snapshot is hidden.
        Err(error) if error.kind == ErrorKind::NotFound => {
            repository.store().remove(&layout::protection_key(id))?;
            Err(Error::Collected { id: *id })
        }
        stat => Err(stat.map_or_else(Error::from, |_| Error::InTrash { id: *id })),
    }
}

/// Removes a snapshot's protection, valid or not. Returns false if it had none.
pub fn unprotect(repository: &Repository, id: &SnapshotId) -> Result<bool> {
    check_writable(repository.config())?;
    let was_protected = is_protected(repository, id)?;
    if was_protected {
        repository.store().remove(&layout::protection_key(id))?;
    }
    Ok(was_protected)
}

/// Returns whether a snapshot has a protection, valid or not.
pub fn is_protected(repository: &Repository, id: &SnapshotId) -> Result<bool> {
    match repository.store().stat(&layout::protection_key(id)) {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
        stat => Ok(stat.map(|_| true)?),
    }
}

/// Returns whether a snapshot has a valid protection.
pub fn holds(repository: &Repository, id: &SnapshotId) -> Result<bool> {
    match load(repository, id) {
        Err(error) if error.is_damage() => Ok(false),
        protection => protection.map(|_| true),
    }
}

/// Reads a protection and verifies it.
pub fn load(repository: &Repository, id: &SnapshotId) -> Result<Tombstone> {
    signed_marks::load(repository, MarkKind::Protection, id).map(|(mark, _)| mark)
}
