//! Local note of incomplete snapshots, which no backup of this machine may use as its parent.
//!
//! If the note is lost, a backup may refer to files of which a part is lost as if they were
//! complete.

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

/// Notes one more incomplete snapshot.
pub fn add(repository: &Repository, snapshot: SnapshotId) -> Result<()> {
    let mut all = noted(repository);
    if !all.contains(&snapshot) {
        all.push(snapshot);
        note(repository, &all)?;
    }
    Ok(())
}

/// Returns the noted snapshots.
pub fn noted(repository: &Repository) -> Vec<SnapshotId> {
    let bytes = notes::load(repository, NOTE).unwrap_or_default();
    bytes.chunks_exact(16).map(|id| SnapshotId(id.try_into().expect("16 bytes"))).collect()
}
