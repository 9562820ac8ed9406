//! A way out where a repository has no room left: objects that are only there to be removed then.
//!
//! A collector that frees space has to write a little first: what is going to be removed, and index
//! runs without it. A part is kept for those who only forget: were it one, a disk that fills up
//! between a `forget` and the next `prune` would leave none for that. Spec:
//! `format-spec/12-store.md`, section 7.

use std::collections::HashSet;

use super::intents;
use crate::id::SnapshotId;
use crate::repo::error::Result;
use crate::repo::objects::layout;
use crate::repo::open::Repository;
use crate::store::{Class, ErrorKind, Key, StoreError};

/// What only a collector should need, and its length: many small objects, each of which may take a
/// block of 4 KiB, and index runs of a small repository.
const FOR_PRUNES: (&str, usize) = ("reserve", 256 << 10);
/// What is spent first, and its length: a few marks, or the objects of a probe.
const FOR_MARKS: (&str, usize) = ("reserve-marks", 64 << 10);
/// Where there is no room for all of one, less is tried, in so many steps: a block at a time of the
/// smaller one.
const STEPS: usize = 16;

/// Makes the parts of the reserve that are missing where the store can run full; that there is no
/// room for them is no failure.
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

/// Makes a part, as long as there is room for.
fn make(repository: &Repository, name: &str, len_bytes: usize) -> Result<()> {
    // What does not compress takes the room that it seems to take.
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

/// Does something; where the store says that there is no room, removes what may be removed without
/// a word, and does it again.
///
/// What is left of the room is kept for the next one. Only for clients that may remove anything at
/// all.
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
    // It is done, or failed, whatever becomes of the reserve.
    let _ = keep(repository);
    done
}

/// Removes the whole reserve, and the intents of sessions that are over.
pub fn release(repository: &Repository) -> Result<()> {
    [FOR_MARKS, FOR_PRUNES]
        .iter()
        .try_for_each(|(name, _)| repository.store().remove(&key(name)))?;
    remove_ended_intents(repository)
}

/// Removes the intents of sessions that are over (rule I7).
fn remove_ended_intents(repository: &Repository) -> Result<()> {
    let listed = repository.store().list(Class::Intents, "")?;
    let told: Vec<(SnapshotId, u64)> =
        listed.iter().filter_map(|object| layout::intent_of(&object.name)).collect();
    let slots = repository.store().list(Class::Snapshots, "")?;
    let filled: HashSet<SnapshotId> =
        slots.iter().filter_map(|object| SnapshotId::from_hex(&object.name)).collect();
    for (session, number) in told.iter().filter(|(session, _)| filled.contains(session)) {
        intents::remove(repository, session, &[*number])?;
    }
    Ok(())
}
