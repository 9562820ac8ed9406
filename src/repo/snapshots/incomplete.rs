//! Which snapshots are known here to lack something: no backup of this machine takes them as its
//! parent.
//!
//! A local note like all of them: without it a backup may take over files of which a part is lost,
//! as if it were there.

use crate::id::SnapshotId;
use crate::repo::error::Result;
use crate::repo::open::Repository;
use crate::repo::open::notes;

const NOTE: &str = "incomplete snapshots";

/// Notes that exactly these snapshots are incomplete.
pub fn note(repository: &Repository, snapshots: &[SnapshotId]) -> Result<()> {
    if snapshots.is_empty() {
        notes::remove(repository, NOTE);
        return Ok(());
    }
    notes::save(repository, NOTE, &snapshots.iter().flat_map(|id| id.0).collect::<Vec<u8>>())
}

/// Notes one more.
pub fn add(repository: &Repository, snapshot: SnapshotId) -> Result<()> {
    let mut all = noted(repository);
    if !all.contains(&snapshot) {
        all.push(snapshot);
        note(repository, &all)?;
    }
    Ok(())
}

/// Returns the snapshots that are noted.
pub fn noted(repository: &Repository) -> Vec<SnapshotId> {
    let bytes = notes::load(repository, NOTE).unwrap_or_default();
    bytes.chunks_exact(16).map(|id| SnapshotId(id.try_into().expect("16 bytes"))).collect()
}
