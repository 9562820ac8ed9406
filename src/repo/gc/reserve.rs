//! Reserve of space: objects that are removed when the store is full, to make room for the commands
//! that free space.
//!
//! A collector must write a little before it can free space: records of what it removes, and new
//! index runs. A separate part serves `forget`: with one part only, a `forget` on a full disk would
//! use it up, and the next `prune` would have none.
//!
//! Spec: `format-spec/12-store.md`, section 7.

use std::collections::HashSet;

use super::intents;
use crate::id::SnapshotId;
use crate::repo::error::Result;
use crate::repo::objects::layout;
use crate::repo::open::Repository;
use crate::store::{Class, ErrorKind, Key, StoreError};

/// Part for collectors, with its length: enough for many small objects, each of which may take a
/// block of 4 KiB, and index runs of a small repository.
const FOR_PRUNES: (&str, usize) = ("reserve", 256 << 10);
/// Part that is spent first, with its length: enough for a few marks, or the objects of a probe.
const FOR_MARKS: (&str, usize) = ("reserve-marks", 64 << 10);
/// Number of steps in which a smaller part is tried if there is no room for all of it; for the
/// smaller part, a step is one block.
const STEPS: usize = 16;

/// Creates the missing parts of the reserve if the store can run full; a lack of room for them is
/// no failure.
pub fn keep(repository: &Repository) -> Result<()> {
    if !repository.store().properties().can_run_full {
        return Ok(());
    }
    let listed = repository.store().list(Class::Probe, layout::RESERVE)?;
    for (name, len_bytes) in [FOR_PRUNES, FOR_MARKS] {
        if !listed.iter().any(|object| object.name == name) {
            make(repository, name, len_bytes)?;
        }
    }
    Ok(())
}

/// Creates a part, as long as there is room for.
fn make(repository: &Repository, name: &str, len_bytes: usize) -> Result<()> {
    // Random bytes cannot be compressed by a file system, so they take their full length.
    let mut bytes = vec![0; len_bytes];
    blake3::Hasher::new().update(&repository.random_32()?).finalize_xof().fill(&mut bytes);
    for steps in (1..=STEPS).rev() {
        match repository.store().create(&key(name), &bytes[..len_bytes / STEPS * steps]) {
            Err(StoreError { kind: ErrorKind::Full, .. }) => {}
            Err(error) if !matches!(error.kind, ErrorKind::Exists | ErrorKind::NotPermitted) => {
                return Err(error.into());
            }
            _ => break,
        }
    }
    Ok(())
}

fn key(name: &str) -> Key {
    Key::new(Class::Probe, name)
}

/// Calls `act`; if the store is full, removes parts of the reserve and ended intents, and calls it
/// again.
///
/// Then fills the reserve again as far as possible. Only for clients that may remove objects.
pub fn with_room<T>(repository: &Repository, mut act: impl FnMut() -> Result<T>) -> Result<T> {
    match act() {
        Err(error) if error.is_full() => {}
        done => return done,
    }
    repository.store().remove(&key(FOR_MARKS.0))?;
    remove_ended_intents(repository)?;
    let done = match act() {
        Err(error) if error.is_full() => {
            repository.store().remove(&key(FOR_PRUNES.0))?;
            act()
        }
        done => done,
    };
    // The result does not depend on the reserve.
    let _ = keep(repository);
    done
}

/// Removes the whole reserve, and the intents of sessions that have ended.
pub fn release(repository: &Repository) -> Result<()> {
    [FOR_MARKS, FOR_PRUNES]
        .iter()
        .try_for_each(|(name, _)| repository.store().remove(&key(name)))?;
    remove_ended_intents(repository)
}

/// Removes the intents of sessions that have ended (rule I7).
fn remove_ended_intents(repository: &Repository) -> Result<()> {
    let listed = repository.store().list(Class::Intents, "")?;
    let intents_listed: Vec<(SnapshotId, u64)> =
        listed.iter().filter_map(|object| layout::intent_of(&object.name)).collect();
    let slots = repository.store().list(Class::Snapshots, "")?;
    let filled: HashSet<SnapshotId> =
        slots.iter().filter_map(|object| SnapshotId::from_hex(&object.name)).collect();
    for (session, number) in intents_listed.iter().filter(|(session, _)| filled.contains(session)) {
        intents::remove(repository, session, &[*number])?;
    }
    Ok(())
}
