//! A way out where a repository has no room left: an object that is only there to be removed then.
//!
//! Whoever frees room has to write a little first: what is going to be removed, and index runs without it. Spec:
//! `format-spec/12-store.md`, section 7.

use std::collections::HashSet;

use super::error::Result;
use super::open::Repository;
use super::{intents, names};
use crate::id::SnapshotId;
use crate::store::{Class, ErrorKind};

/// Its length: many small objects, each of which may take a block of 4 KiB, and index runs of a small repository.
const LEN_BYTES: usize = 256 << 10;

/// Makes the reserve where the store can run full and has none; that there is no room for it is no failure.
pub fn keep(repository: &Repository) -> Result<()> {
    if !repository.store().can_run_full() || !repository.store().list(Class::Probe, &names::reserve_key().name)?.is_empty() {
        return Ok(());
    }
    // What does not compress takes the room that it seems to take.
    let mut bytes = vec![0; LEN_BYTES];
    blake3::Hasher::new().update(&repository.random_32()?).finalize_xof().fill(&mut bytes);
    match repository.store().create(&names::reserve_key(), &bytes) {
        Err(error) if !matches!(error.kind, ErrorKind::Full | ErrorKind::Exists | ErrorKind::NotPermitted) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Does something; where the store says that there is no room, removes what may be removed without a word, and does it again.
///
/// Only for whoever may remove anything at all.
pub fn with_room<T>(repository: &Repository, mut act: impl FnMut() -> Result<T>) -> Result<T> {
    match act() {
        Err(error) if error.is_full() => {
            release(repository)?;
            act()
        }
        done => done,
    }
}

/// Removes the reserve, and the intents of sessions that are over (rule I7).
pub fn release(repository: &Repository) -> Result<()> {
    repository.store().remove(&names::reserve_key())?;
    let listed = repository.store().list(Class::Intents, "")?;
    let told: Vec<(SnapshotId, u64)> = listed.iter().filter_map(|object| names::intent_of(&object.name)).collect();
    let slots = repository.store().list(Class::Snapshots, "")?;
    let filled: HashSet<SnapshotId> = slots.iter().filter_map(|object| SnapshotId::from_hex(&object.name)).collect();
    for (session, number) in told.iter().filter(|(session, _)| filled.contains(session)) {
        intents::remove(repository, session, &[*number])?;
    }
    Ok(())
}
