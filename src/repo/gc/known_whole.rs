//! Local note of the generation up to which each of this machine's newest snapshots is known to be
//! whole.
//!
//! A repair on another machine may remove chunks from the index after a snapshot is made. Before a
//! backup refers to unread subtrees of such a snapshot, it looks up all their chunks. If the note
//! is lost, that costs one walk of the tree.
//!
//! Spec: `format-spec/13-commit.md`, section 3, rule R.

use crate::id::SnapshotId;
use crate::repo::error::Result;
use crate::repo::open::Repository;
use crate::repo::open::notes;

const NOTE: &str = "whole snapshots";
const RECORD_LEN_BYTES: usize = 24;
/// Most snapshots in the note: more than a machine has series.
const SNAPSHOTS_MAX: usize = 256;

/// Notes that all chunks of a snapshot were in the index as it was after `generation`.
pub(crate) fn note(repository: &Repository, snapshot: &SnapshotId, generation: u64) -> Result<()> {
    let stored = notes::load(repository, NOTE).unwrap_or_default();
    let others = stored.chunks_exact(RECORD_LEN_BYTES).filter(|record| record[..16] != snapshot.0);
    let mut bytes = snapshot.0.to_vec();
    bytes.extend_from_slice(&generation.to_le_bytes());
    others.take(SNAPSHOTS_MAX - 1).for_each(|record| bytes.extend_from_slice(record));
    notes::save(repository, NOTE, &bytes)
}

/// Returns the generation that is noted for a snapshot; 0 if none is.
pub(crate) fn known(repository: &Repository, snapshot: &SnapshotId) -> u64 {
    let stored = notes::load(repository, NOTE).unwrap_or_default();
    let found = stored.chunks_exact(RECORD_LEN_BYTES).find(|record| record[..16] == snapshot.0);
    found.map_or(0, |record| u64::from_le_bytes(record[16..].try_into().expect("8 bytes")))
}
