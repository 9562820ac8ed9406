//! Which snapshots are known here to lack something: no backup of this machine takes them as its parent.
//!
//! A local note like all of them: without it a backup may take over files of which a part is lost, as if it were there.

use super::error::Result;
use super::open::Repository;
use super::state;
use crate::id::SnapshotId;

const NOTE: &str = "incomplete snapshots";

/// Notes that exactly these snapshots are incomplete.
pub fn note(repository: &Repository, snapshots: &[SnapshotId]) -> Result<()> {
    if snapshots.is_empty() {
        state::remove(repository, NOTE);
        return Ok(());
    }
    state::save(repository, NOTE, &snapshots.iter().flat_map(|id| id.0).collect::<Vec<u8>>())
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
    let bytes = state::load(repository, NOTE).unwrap_or_default();
    bytes.chunks_exact(16).map(|id| SnapshotId(id.try_into().expect("16 bytes"))).collect()
}
