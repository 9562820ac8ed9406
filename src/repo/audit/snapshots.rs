//! Audit of `snapshots/`: whether its objects are valid, and none is missing.
//!
//! Spec: `format-spec/08-snapshots.md`.

use std::collections::HashSet;

use super::{Fault, Findings};
use crate::format::codec::DecodeError;
use crate::format::snapshot::Snapshot;
use crate::format::tombstone::Tombstone;
use crate::id::SnapshotId;
use crate::repo::error::{Error, Result};
use crate::repo::gc::generations::Generations;
use crate::repo::objects::sized_read::memory_of;
use crate::repo::objects::{layout, parallel};
use crate::repo::open::Repository;
use crate::repo::snapshots::chains::{self, Break, Explained};
use crate::repo::snapshots::present::{BareProtections, Present};
use crate::repo::snapshots::{self, protect, trash};
use crate::store::{Class, Key, Listed};

/// All snapshots and tombstones in the store.
#[derive(Default)]
pub struct AllSnapshots {
    /// The good snapshots, oldest first, including those in the trash, which can be brought back.
    pub good: Vec<Snapshot>,
    /// Ids of those in the trash.
    pub forgotten: HashSet<SnapshotId>,
    /// Damaged slots that were forgotten or dropped, and therefore are no faults.
    pub written_off: Vec<SnapshotId>,
    /// Explanations for missing snapshots.
    explained: Explained,
}

/// Reads and verifies every snapshot and tombstone: seal, signature and chain.
///
/// It is a fault if a snapshot that this machine has seen is missing, or the predecessor of a
/// snapshot, unless a tombstone shows that it was forgotten.
pub fn all_snapshots(repository: &Repository) -> Result<(AllSnapshots, Findings)> {
    // The cache is listed before the store: a backup that commits meanwhile is in the store before
    // it is in the cache.
    let copies = repository.cache().names("snapshots");
    let mut seen_before: HashSet<SnapshotId> =
        copies.iter().filter_map(|name| SnapshotId::from_hex(name)).collect();
    seen_before.extend(repository.witness().heads());
    let mut findings = Findings::default();
    let mut all = AllSnapshots::default();
    let listed = repository.store().list(Class::Snapshots, "")?;
    let Present { slots: present, bare } = Present::of(&listed);
    let guarded = read_all(repository, listed, &bare, &mut all, &mut findings)?;
    // A damaged record of a collector is reported by `generations`.
    let dropped = Generations::list(repository)?.dropped(repository).unwrap_or_default();
    for id in seen_before.into_iter().filter(|id| !present.contains(id)) {
        let is_explained = || {
            all.forgotten.contains(&id)
                || dropped.contains(&id)
                || trash::load_cached(repository, &id).is_some()
        };
        if !guarded.contains(&id) && is_explained() {
            continue;
        }
        let object = layout::snapshot_key(&id).to_string();
        let error = Error::RolledBack {
            location: repository.location().to_owned(),
            what: "a snapshot seen before".to_owned(),
        };
        findings.faults.push(Fault { object, error });
    }
    let dropped_only: HashSet<SnapshotId> = dropped.difference(&all.forgotten).copied().collect();
    all.explained.learn_dropped(repository, dropped_only.iter());
    all.forgotten.retain(|id| present.contains(id));
    all.good.sort_by_key(|snapshot| (snapshot.started, snapshot.sequence));
    write_off(&mut all, &dropped_only, &mut findings);
    check_chains(repository, &all, &mut findings);
    repository.witness().saw_snapshots(all.good.iter(), |_| false);
    Ok((all, findings))
}

/// Reads the listed objects, and returns the missing snapshots with a valid protection, which no
/// tombstone explains.
fn read_all(
    repository: &Repository,
    listed: Vec<Listed>,
    bare: &BareProtections,
    all: &mut AllSnapshots,
    findings: &mut Findings,
) -> Result<HashSet<SnapshotId>> {
    let memory = |object: &Listed| memory_of(object.len_bytes);
    let read = parallel::for_each_long(repository.store(), &listed, memory, |object| {
        read(repository, object)
    })?;
    let (mut tombstones, mut guarded) = (Vec::new(), HashSet::new());
    for (object, held_object) in listed.into_iter().zip(read) {
        let key = Key::new(Class::Snapshots, object.name);
        match held_object {
            SnapshotObject::Slot(loaded) => {
                let found = findings.note(&key, *loaded)?;
                // A burnt slot does not count as a snapshot.
                findings.seen -= u64::from(matches!(found, Some(None)));
                all.good.extend(found.flatten());
            }
            SnapshotObject::Tombstone(Err(error @ Error::Unjustified { .. })) => {
                findings.faults.push(Fault { object: key.to_string(), error });
            }
            SnapshotObject::Tombstone(loaded) => {
                let found = findings.note(&key, loaded)?;
                // A tombstone does not count as a snapshot.
                findings.seen -= u64::from(found.is_some());
                tombstones.extend(found);
            }
            SnapshotObject::Protection(loaded) => {
                let found = findings.note(&key, loaded)?;
                findings.seen -= u64::from(found.is_some());
                guarded.extend(
                    found.map(|protection| protection.snapshot).filter(|id| bare.contains(id)),
                );
            }
            SnapshotObject::Foreign => findings.foreign.push(key.to_string()),
        }
    }
    for tombstone in tombstones.iter().filter(|tombstone| !guarded.contains(&tombstone.snapshot)) {
        all.forgotten.insert(tombstone.snapshot);
        all.explained.learn(&tombstone.snapshot, tombstone.hash);
    }
    Ok(guarded)
}

/// An object in `snapshots/`.
enum SnapshotObject {
    Slot(Box<Result<Option<Snapshot>>>),
    Tombstone(Result<Tombstone>),
    Protection(Result<Tombstone>),
    Foreign,
}

fn read(repository: &Repository, object: &Listed) -> SnapshotObject {
    if let Some(id) = SnapshotId::from_hex(&object.name) {
        SnapshotObject::Slot(Box::new(snapshots::load_whole(repository, &id, object.len_bytes)))
    } else if let Some(id) = layout::tombstone_of(&object.name) {
        SnapshotObject::Tombstone(trash::load_listed(repository, &id, object.len_bytes))
    } else if let Some(id) = layout::protection_of(&object.name) {
        SnapshotObject::Protection(protect::load(repository, &id))
    } else {
        SnapshotObject::Foreign
    }
}

/// Removes from the faults damaged slots that were forgotten without having been read, or that a
/// verdict dropped.
fn write_off(all: &mut AllSnapshots, dropped: &HashSet<SnapshotId>, findings: &mut Findings) {
    for snapshot in &all.good {
        all.explained.unread.remove(&snapshot.id);
    }
    for id in all.explained.unread.union(dropped) {
        let object = layout::snapshot_key(id).to_string();
        let faults = findings.faults.len();
        findings.faults.retain(|fault| fault.object != object);
        if findings.faults.len() < faults {
            all.written_off.push(*id);
        }
    }
    all.written_off.sort_unstable();
}

/// Reports snapshots whose predecessor is missing or wrong.
///
/// Spec: `format-spec/08-snapshots.md`, section 5.
fn check_chains(repository: &Repository, all: &AllSnapshots, findings: &mut Findings) {
    for (snapshot, wrong) in chains::breaks(&all.good, &all.explained) {
        let is_accepted = |hash: &chains::ChainHash| repository.witness().accepts_missing(hash);
        if wrong == Break::Missing && snapshot.previous.as_ref().is_some_and(is_accepted) {
            continue;
        }
        let object = layout::snapshot_key(&snapshot.id).to_string();
        let why = match wrong {
            Break::Missing => "the snapshot before it is missing or damaged",
            Break::Misplaced => "the snapshot before it is of another host or later",
        };
        let error = Error::malformed(&object)(DecodeError::new("chain of snapshots", why));
        findings.faults.push(Fault { object, error });
    }
}
