//! Local notes of the last snapshot of a series, and of a host's chain. Losing one costs a listing.

use crate::id::SnapshotId;
use crate::repo::error::Result;
use crate::repo::open::{Repository, notes};

/// Notes the last snapshot of a host's chain that this machine made. Losing the note costs one
/// listing.
pub fn remember_chain(repository: &Repository, host: &str, snapshot: SnapshotId) -> Result<()> {
    notes::save(repository, &chain_name(host), &snapshot.0)
}

/// Loads a note that names a snapshot.
pub fn load_id(repository: &Repository, name: &str) -> Option<SnapshotId> {
    Some(SnapshotId(notes::load(repository, name)?.try_into().ok()?))
}

/// Returns the name of the note about a host's chain.
pub fn chain_name(host: &str) -> String {
    format!("chain {host}")
}
