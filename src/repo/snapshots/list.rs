//! Lists of the snapshots in the store, each from one listing of `snapshots/`.
//!
//! Every list is compared with what this machine remembers of the repository: a missing snapshot
//! that was not forgotten, or a tombstone that is back, is a rollback.
//!
//! Spec: `format-spec/08-snapshots.md`, sections 4 to 6.

use std::collections::{BTreeMap, HashSet};

use super::commit::can_be_followed;
use super::listing::Listing;
use super::load::{is_there, load_any, load_listed};
use super::order;
use super::present::{BareProtections, Present};
use super::trash::{self, Forgotten};
use crate::format::snapshot::Snapshot;
use crate::format::tombstone::Tombstone;
use crate::id::SnapshotId;
use crate::repo::error::{Error, Result};
use crate::repo::objects::sized_read::memory_of;
use crate::repo::objects::{layout, parallel};
use crate::repo::open::Repository;
use crate::store::{Class, Listed};

/// Lists the ids of all commit slots in the store, including those of forgotten snapshots.
pub fn list_ids(repository: &Repository) -> Result<Vec<SnapshotId>> {
    let listed = repository.store().list(Class::Snapshots, "")?;
    Ok(listed.iter().filter_map(|object| SnapshotId::from_hex(&object.name)).collect())
}

/// Returns the time of a snapshot by the store's clock, in seconds since 1970, if the store states
/// it; sends one request.
pub fn stored_s(repository: &Repository, id: &SnapshotId) -> Result<Option<i64>> {
    let name = id.to_hex();
    let listed = repository.store().list(Class::Snapshots, &name)?;
    Ok(listed.iter().find(|object| object.name == name).and_then(|object| object.modified_s))
}

/// Returns a hash that changes when a snapshot is created, forgotten, brought back or removed;
/// sends one request.
pub fn state_of_list(repository: &Repository) -> Result<[u8; 32]> {
    let mut hash = blake3::Hasher::new();
    for object in repository.store().list(Class::Snapshots, "")? {
        hash.update(object.name.as_bytes()).update(b"\0");
    }
    Ok(*hash.finalize().as_bytes())
}

/// Lists all snapshots, with those in the trash separate.
///
/// Tombstones are read from the store, not from local copies, because they decide when the trash
/// window ends. Fails with `RolledBack` if a snapshot that this machine remembers is missing and
/// was not forgotten; with `Unjustified` if a tombstone that this machine removed by `undelete` is
/// back.
pub fn listing(repository: &Repository) -> Result<Listing> {
    refuse_replayed(listing_to_bring_back(repository)?)
}

/// Lists like [`listing`], for `undelete`: a tombstone that this machine removed and that is back
/// is among the faults.
pub fn listing_to_bring_back(repository: &Repository) -> Result<Listing> {
    let listing = listing_as_it_is(repository)?;
    remember(repository, &listing)?;
    Ok(listing)
}

/// Fails with `Unjustified` if a tombstone that this machine removed is back.
fn refuse_replayed(mut listing: Listing) -> Result<Listing> {
    match listing.faults.iter().position(|(_, error)| matches!(error, Error::Unjustified { .. })) {
        Some(at) => Err(listing.faults.swap_remove(at).1),
        None => Ok(listing),
    }
}

/// Lists like [`listing`], but without a check against what this machine remembers: for repairs.
pub fn listing_as_it_is(repository: &Repository) -> Result<Listing> {
    list_with(repository, trash::load_listed)
}

/// Compares a listing with what this machine remembers, and remembers it.
fn remember(repository: &Repository, listing: &Listing) -> Result<()> {
    let present =
        Present { slots: listing.slots.keys().copied().collect(), bare: listing.bare.clone() };
    trash::refuse_hidden(repository, &present)?;
    let heads = repository.witness().heads();
    let removed: Vec<SnapshotId> =
        heads.into_iter().filter(|id| listing.removed.contains_key(id)).collect();
    let guarded = listing.bare.guarded(repository, removed.iter().copied())?;
    let is_gone = |id: &SnapshotId| removed.contains(id) && !guarded.contains(id);
    let listed = listing.snapshots.iter().filter_map(|(_, snapshot)| snapshot.as_ref().ok());
    let forgotten = listing.forgotten.iter().filter_map(|one| one.snapshot.as_ref().ok());
    repository.witness().saw_snapshots(listed.chain(forgotten), is_gone);
    Ok(())
}

/// Returns the snapshot of a host with the highest sequence number among these slots.
///
/// Skips snapshots that are damaged or that no other can follow: they must not prevent the host's
/// backups.
pub fn newest_of_host(
    repository: &Repository,
    host: &str,
    slots: &BTreeMap<SnapshotId, u64>,
) -> Result<Option<Snapshot>> {
    let mut newest: Option<Snapshot> = None;
    for (id, len_bytes) in slots {
        let found = match load_listed(repository, id, *len_bytes) {
            Ok(found) => found,
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error),
        };
        let is_newer = |found: &Snapshot| {
            newest.as_ref().is_none_or(|newest| newest.sequence < found.sequence)
        };
        newest = found
            .filter(|found| found.host == host && can_be_followed(found) && is_newer(found))
            .or(newest);
    }
    Ok(newest)
}

/// Lists like [`listing`], but uses local copies of tombstones, for callers that do not need the
/// end of the trash window.
pub fn overview(repository: &Repository) -> Result<Listing> {
    let listing = list_with(repository, |repository, id, len_bytes| {
        match trash::load_copy_of(repository, id, len_bytes) {
            Some(tombstone) => Ok(tombstone),
            None => trash::load_listed(repository, id, len_bytes),
        }
    })?;
    remember(repository, &listing)?;
    refuse_replayed(listing)
}

/// Lists all snapshots that are not forgotten, oldest first, without burnt slots.
///
/// For a snapshot that is damaged or not signed by this repository's key, the error is returned in
/// its place.
pub fn list_all(repository: &Repository) -> Result<Vec<(SnapshotId, Result<Snapshot>)>> {
    Ok(overview(repository)?.snapshots)
}

/// Lists all snapshots that are not forgotten, oldest first; fails if one of them is damaged.
pub fn list(repository: &Repository) -> Result<Vec<Snapshot>> {
    list_all(repository)?.into_iter().map(|(_, snapshot)| snapshot).collect()
}

/// Function that reads the tombstone of a snapshot from an object of known length.
type LoadTombstone = fn(&Repository, &SnapshotId, u64) -> Result<Tombstone>;

/// Tombstones whose slots exist, from a listing.
type ListedTombstones<'a> = Vec<(SnapshotId, &'a Listed)>;

fn list_with(repository: &Repository, load_tombstone: LoadTombstone) -> Result<Listing> {
    let listed = repository.store().list(Class::Snapshots, "")?;
    let (mut listing, marks) = sort_names(&listed);
    let forgotten_ids = read_trash(repository, &mut listing, marks, load_tombstone)?;
    read_remaining(repository, &mut listing, &forgotten_ids)?;
    trash::drop_copies(repository, |id| {
        listing.slots.contains_key(id) && !forgotten_ids.contains(id)
    });
    order_by_time(&mut listing);
    Ok(listing)
}

/// Returns what follows from the names alone, and the tombstones to be read.
fn sort_names(listed: &[Listed]) -> (Listing, ListedTombstones<'_>) {
    let mut listing = Listing { store_s: trash::newest_s(listed), ..Listing::default() };
    let slots: BTreeMap<SnapshotId, u64> = listed
        .iter()
        .filter_map(|object| Some((SnapshotId::from_hex(&object.name)?, object.len_bytes)))
        .collect();
    let protected = listed.iter().filter_map(|object| layout::protection_of(&object.name));
    listing.protected = protected.filter(|id| slots.contains_key(id)).collect();
    listing.bare = BareProtections::of(listed, |id| slots.contains_key(id));
    let times = listed
        .iter()
        .filter_map(|object| SnapshotId::from_hex(&object.name).zip(object.modified_s));
    listing.stored_s = times.collect();
    let marks =
        listed.iter().filter_map(|object| Some((layout::tombstone_of(&object.name)?, object)));
    let (marks, removed): (Vec<_>, Vec<_>) = marks.partition(|(id, _)| slots.contains_key(id));
    listing.removed.extend(removed.into_iter().map(|(id, object)| (id, object.len_bytes)));
    listing.slots = slots;
    (listing, marks)
}

/// Reads the tombstones and their snapshots, and returns the ids of forgotten snapshots.
fn read_trash(
    repository: &Repository,
    listing: &mut Listing,
    marks: ListedTombstones,
    load_tombstone: LoadTombstone,
) -> Result<HashSet<SnapshotId>> {
    let slots = &listing.slots;
    let tombstones = parallel::for_each_long(
        repository.store(),
        &marks,
        |(id, _)| memory_of(slots[id]),
        |(id, object)| {
            let tombstone = load_tombstone(repository, id, object.len_bytes)?;
            Ok::<_, Error>((tombstone, load_any(repository, id, slots[id])?))
        },
    )?;
    let mut forgotten_ids = HashSet::new();
    for ((id, object), loaded) in marks.into_iter().zip(tombstones) {
        match loaded {
            Ok((tombstone, snapshot)) => {
                forgotten_ids.insert(id);
                listing.explained.extend(tombstone.hash);
                if let Some(snapshot) = is_there(snapshot) {
                    listing.forgotten.push(Forgotten {
                        tombstone,
                        stored_s: object.modified_s,
                        snapshot,
                    });
                }
            }
            // The snapshot was brought back since the listing.
            Err(error) if error.is_not_found() => {}
            Err(error @ Error::Unjustified { .. }) => listing.faults.push((id, error)),
            Err(error) if error.is_damage() => listing.faults.push((id, error)),
            Err(error) => return Err(error),
        }
    }
    Ok(forgotten_ids)
}

/// Reads the snapshots that are not forgotten.
fn read_remaining(
    repository: &Repository,
    listing: &mut Listing,
    forgotten_ids: &HashSet<SnapshotId>,
) -> Result<()> {
    let remaining: Vec<(&SnapshotId, u64)> = listing
        .slots
        .iter()
        .filter(|(id, _)| !forgotten_ids.contains(*id))
        .map(|(id, len_bytes)| (id, *len_bytes))
        .collect();
    let loaded = parallel::for_each_long(
        repository.store(),
        &remaining,
        |(_, len)| memory_of(*len),
        |(id, len)| load_any(repository, id, *len),
    )?;
    let loaded = loaded.into_iter().collect::<Result<Vec<_>>>()?;
    let snapshots = remaining
        .into_iter()
        .zip(loaded)
        .filter_map(|((id, _), loaded)| Some((*id, is_there(loaded)?)));
    listing.snapshots.extend(snapshots);
    Ok(())
}

/// Sorts the snapshots by the time of the backup, and those in the trash by the time when they were
/// forgotten.
fn order_by_time(listing: &mut Listing) {
    // Snapshots in the trash still connect the others of their chain.
    let forgotten = listing.forgotten.iter().filter_map(|one| one.snapshot.as_ref().ok());
    let good: Vec<&Snapshot> = listing
        .snapshots
        .iter()
        .filter_map(|(_, snapshot)| snapshot.as_ref().ok())
        .chain(forgotten)
        .collect();
    listing.moments = order::moments(&good, &listing.stored_s, now_s());
    let sequence =
        |snapshot: &Result<Snapshot>| snapshot.as_ref().map_or(0, |snapshot| snapshot.sequence);
    let moments = &listing.moments;
    listing.snapshots.sort_by_key(|(id, snapshot)| {
        (moments.get(id).copied().unwrap_or_default(), sequence(snapshot), *id)
    });
    listing.forgotten.sort_by_key(|one| (one.tombstone.forgotten, one.tombstone.snapshot));
}

/// Returns this machine's time in seconds since 1970.
fn now_s() -> i64 {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
