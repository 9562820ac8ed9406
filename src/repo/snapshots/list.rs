//! Committing, listing and naming snapshots. Spec: `format-spec/08-snapshots.md`.

use std::collections::{BTreeMap, HashSet};

use super::listing::Listing;
use super::order;
use super::order::chain_hash;
use super::prepare::{NewTree, Secured};
use crate::repo::error::{Error, Result};
use crate::repo::objects::layout;
use crate::repo::objects::sized_read::{memory_of, read_listed, read_small};
use crate::repo::open::{Repository, check_writable};

use super::present::{BareProtections, Present};
use super::trash::{self, Forgotten};
use crate::container::seal_single;
use crate::crypto::keyring::Keyring;
use crate::format::codec;
use crate::format::container::ContainerKind;
use crate::format::limits;
use crate::format::snapshot::{CommitSlot, Snapshot};
use crate::format::tombstone::Tombstone;
use crate::id::SnapshotId;
use crate::repo::gc::known_whole;
use crate::repo::objects::create_once::{Put, put};
use crate::repo::objects::parallel;
use crate::repo::write::Stored;
use crate::store::{Class, ErrorKind, Key};

/// Returns a new random snapshot id.
pub fn new_id(repository: &Repository) -> Result<SnapshotId> {
    Ok(layout::new_session(&repository.random_32()?))
}

/// How a commit ended.
pub enum Commit {
    /// The snapshot exists.
    Done,
    /// A collector took the session for dead; all that was stored can be secured and committed
    /// under a new id.
    Aborted(Stored, NewTree),
    /// It is not known whether the snapshot was made, and it is not there; all can be secured and
    /// committed under a new id.
    Lost(Stored, NewTree, Error),
}

/// Commits a snapshot: the one step after which it exists. The token proves that all it needs is
/// durable and stays.
///
/// If the process dies before this returns, the snapshot either exists whole or not at all.
pub fn commit(repository: &Repository, snapshot: &Snapshot, secured: Secured) -> Result<Commit> {
    check_writable(repository.config())?;
    let signed = snapshot.encode();
    let signature = repository.keyring().sign_snapshot(&signed);
    let slot = codec::encode(&CommitSlot::Snapshot { signed: signed.clone(), signature });
    let sealed =
        seal_single(repository.keyring(), ContainerKind::Snapshot, &repository.random_32()?, &slot);
    let key = layout::snapshot_key(&snapshot.id);
    // What no reader takes must not be there: the backup would have succeeded in vain.
    if Snapshot::decode(&signed).map_err(Error::malformed(&key))? != *snapshot
        || snapshot.id != secured.session()
    {
        return Err(Error::WrongContent { object: key.to_string() });
    }
    let whole_after = secured.whole_after();
    let put = match put(repository.store(), &key, &sealed.bytes) {
        Err(error) if is_unknown(&error) => match read_small(repository.store(), &key) {
            // The request arrived after `put` had looked whether it did.
            Ok(bytes) if bytes == sealed.bytes && is_unanswered(&error) => Put::Made,
            // What the store could not keep it may still show: a disk does until it is mounted
            // again.
            Ok(bytes) if bytes == sealed.bytes => return Err(error),
            Ok(bytes) => Put::Exists(bytes),
            // It may have been made, forgotten and dropped since: made again under this id, it
            // would be there without its chunks.
            Err(absent) if absent.is_not_found() => {
                let (stored, tree) = secured.renamed()?;
                return Ok(Commit::Lost(stored, tree, error));
            }
            Err(_) => return Err(error),
        },
        put => put?,
    };
    match put {
        Put::Made => {
            // It exists now, whatever becomes of the local copy.
            let _ = repository.cache().write("snapshots", &snapshot.id.to_hex(), &sealed.bytes);
            repository.witness().saw_snapshots(std::iter::once(snapshot), |_| false);
            let _ = known_whole::note(repository, &snapshot.id, whole_after);
            secured.note_index();
            Ok(Commit::Done)
        }
        Put::Exists(bytes) if parse(repository, &snapshot.id, &key, &bytes)?.is_none() => {
            let (stored, tree) = secured.renamed()?;
            Ok(Commit::Aborted(stored, tree))
        }
        Put::Exists(_) => Err(Error::WrongContent { object: key.to_string() }),
    }
}

/// Returns whether the slot may be filled although making it failed.
fn is_unknown(error: &Error) -> bool {
    is_unanswered(error) || matches!(error, Error::Store(error) if error.kind == ErrorKind::Other)
}

/// Returns whether all went well maybe, and only the answer was lost.
fn is_unanswered(error: &Error) -> bool {
    matches!(error, Error::Store(error) if error.kind == ErrorKind::Unanswered)
}

/// Returns the place in its chain of the snapshot that follows another one: its number, and the
/// hash of that one.
pub fn place_after(previous: Option<&Snapshot>) -> (u64, Option<[u8; 32]>) {
    match previous.filter(|previous| can_be_followed(previous)) {
        Some(previous) => (previous.sequence + 1, Some(chain_hash(previous))),
        None => (1, None),
    }
}

/// Returns whether there is a number for one that follows. A key in wrong hands can make a snapshot
/// for which there is none.
pub fn can_be_followed(snapshot: &Snapshot) -> bool {
    snapshot.sequence < limits::SEQUENCE_MAX
}

/// Lists the ids of all commit slots in the store, those of forgotten snapshots among them.
pub fn list_ids(repository: &Repository) -> Result<Vec<SnapshotId>> {
    let listed = repository.store().list(Class::Snapshots, "")?;
    Ok(listed.iter().filter_map(|object| SnapshotId::from_hex(&object.name)).collect())
}

/// Returns when the store got a snapshot, in seconds since 1970, if it says; by one request.
pub fn stored_s(repository: &Repository, id: &SnapshotId) -> Result<Option<i64>> {
    let name = id.to_hex();
    let listed = repository.store().list(Class::Snapshots, &name)?;
    Ok(listed.iter().find(|object| object.name == name).and_then(|object| object.modified_s))
}

/// Returns a value that is another one when a snapshot was made, forgotten, brought back or
/// removed, by one request.
pub fn state_of_list(repository: &Repository) -> Result<[u8; 32]> {
    let mut hash = blake3::Hasher::new();
    for object in repository.store().list(Class::Snapshots, "")? {
        hash.update(object.name.as_bytes()).update(b"\0");
    }
    Ok(*hash.finalize().as_bytes())
}

/// Lists all snapshots, those in the trash apart.
///
/// Tombstones are read from the store each time, so that nobody counts a window by an old copy.
/// Fails with `RolledBack` if a snapshot that this machine remembers is not there, and nobody
/// forgot it; with `Unjustified` if a tombstone stands there again that it took back.
pub fn listing(repository: &Repository) -> Result<Listing> {
    refuse_replayed(listing_to_bring_back(repository)?)
}

/// Lists the same for whoever brings snapshots back: a tombstone that this machine took back
/// before, and that stands there again, is among the faults.
pub fn listing_to_bring_back(repository: &Repository) -> Result<Listing> {
    let listing = listing_as_it_is(repository)?;
    remember(repository, &listing)?;
    Ok(listing)
}

/// Fails with `Unjustified` if a tombstone stands there again that this machine took back.
fn refuse_replayed(mut listing: Listing) -> Result<Listing> {
    match listing.faults.iter().position(|(_, error)| matches!(error, Error::Unjustified { .. })) {
        Some(at) => Err(listing.faults.swap_remove(at).1),
        None => Ok(listing),
    }
}

/// Lists the same, whatever this machine remembers: for repairs, which may know what became of it.
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
/// Those that are damaged are passed over, and so are those that none can follow: they must not end
/// the host's backups.
pub fn newest_of_host(
    repository: &Repository,
    host: &str,
    slots: &BTreeMap<SnapshotId, u64>,
) -> Result<Option<Snapshot>> {
    let mut newest: Option<Snapshot> = None;
    for (id, len_bytes) in slots {
        let found = match load_listed(repository, (id, *len_bytes)) {
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

/// Lists the same, where no window is counted: from local copies of the tombstones that are still
/// there.
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

/// Reads the tombstone of a snapshot, whose object has a known length.
type LoadTombstone = fn(&Repository, &SnapshotId, u64) -> Result<Tombstone>;

fn list_with(repository: &Repository, load_tombstone: LoadTombstone) -> Result<Listing> {
    let listed = repository.store().list(Class::Snapshots, "")?;
    let mut listing = Listing { store_s: trash::newest_s(&listed), ..Listing::default() };
    let slots: BTreeMap<SnapshotId, u64> = listed
        .iter()
        .filter_map(|object| Some((SnapshotId::from_hex(&object.name)?, object.len_bytes)))
        .collect();
    let protected = listed.iter().filter_map(|object| layout::protection_of(&object.name));
    listing.protected = protected.filter(|id| slots.contains_key(id)).collect();
    listing.bare = BareProtections::of(&listed, |id| slots.contains_key(id));
    let times = listed
        .iter()
        .filter_map(|object| SnapshotId::from_hex(&object.name).zip(object.modified_s));
    listing.stored_s = times.collect();
    let marks =
        listed.iter().filter_map(|object| Some((layout::tombstone_of(&object.name)?, object)));
    let (marks, removed): (Vec<_>, Vec<_>) = marks.partition(|(id, _)| slots.contains_key(id));
    listing.removed.extend(removed.into_iter().map(|(id, object)| (id, object.len_bytes)));
    let tombstones = parallel::for_each_long(
        repository.store(),
        &marks,
        |(id, _)| memory_of(slots[id]),
        |(id, object)| {
            let tombstone = load_tombstone(repository, id, object.len_bytes)?;
            Ok::<_, Error>((tombstone, load_any(repository, (id, slots[id]))?))
        },
    )?;
    let mut marked = HashSet::new();
    for ((id, object), loaded) in marks.into_iter().zip(tombstones) {
        match loaded {
            Ok((tombstone, snapshot)) => {
                marked.insert(id);
                listing.explained.extend(tombstone.hash);
                if let Some(snapshot) = is_there(snapshot) {
                    listing.forgotten.push(Forgotten {
                        tombstone,
                        stored_s: object.modified_s,
                        snapshot,
                    });
                }
            }
            // Brought back since the listing.
            Err(error) if error.is_not_found() => {}
            Err(error @ Error::Unjustified { .. }) => listing.faults.push((id, error)),
            Err(error) if error.is_damage() => listing.faults.push((id, error)),
            Err(error) => return Err(error),
        }
    }
    let unmarked: Vec<(&SnapshotId, u64)> = slots
        .iter()
        .filter(|(id, _)| !marked.contains(*id))
        .map(|(id, len_bytes)| (id, *len_bytes))
        .collect();
    let loaded = parallel::for_each_long(
        repository.store(),
        &unmarked,
        |(_, len)| memory_of(*len),
        |slot| load_any(repository, *slot),
    )?;
    let loaded = loaded.into_iter().collect::<Result<Vec<_>>>()?;
    let snapshots = unmarked
        .into_iter()
        .zip(loaded)
        .filter_map(|((id, _), loaded)| Some((*id, is_there(loaded)?)));
    listing.snapshots.extend(snapshots);
    trash::drop_copies(repository, |id| slots.contains_key(id) && !marked.contains(id));
    listing.slots = slots;
    // What is in the trash still tells what came before what.
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
    Ok(listing)
}

/// Returns this machine's time in seconds since 1970.
fn now_s() -> i64 {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Reads a snapshot, which may be damaged. Fails if the store cannot be reached: that says nothing
/// about the snapshot, and without it an older one would be the newest.
fn load_any(repository: &Repository, slot: (&SnapshotId, u64)) -> Result<Result<Option<Snapshot>>> {
    match load_listed(repository, slot) {
        Err(error) if error.is_trouble() || matches!(error, Error::RolledBack { .. }) => Err(error),
        loaded => Ok(loaded),
    }
}

/// Loads the snapshot in a listed slot of this length; from its local copy if that has the same.
///
/// Fails with `RolledBack` if the slot is burnt, this machine knows the snapshot that was in it,
/// and nobody forgot that.
fn load_listed(
    repository: &Repository,
    (id, len_bytes): (&SnapshotId, u64),
) -> Result<Option<Snapshot>> {
    let (key, hex) = (layout::snapshot_key(id), id.to_hex());
    let copy = repository.cache().read("snapshots", &hex);
    let known =
        copy.and_then(|copy| Some((copy.len() as u64, parse(repository, id, &key, &copy).ok()??)));
    if let Some((_, snapshot)) = known.as_ref().filter(|(known, _)| *known == len_bytes) {
        return Ok(Some(snapshot.clone()));
    }
    let bytes = read_listed(repository.store(), &key, len_bytes)?;
    let snapshot = parse(repository, id, &key, &bytes)?;
    match (&snapshot, known) {
        // A copy is a hint.
        (Some(_), _) => drop(repository.cache().write("snapshots", &hex, &bytes)),
        // A collector that slept fills the slot of one that was dropped: that is as good as empty.
        (None, Some(_)) if trash::was_forgotten(repository, id)? => {
            repository.cache().remove("snapshots", &hex)
        }
        (None, Some(_)) => {
            let what = format!("snapshot {}", id.short());
            return Err(Error::RolledBack { location: repository.location().to_owned(), what });
        }
        (None, None) => {}
    }
    Ok(snapshot)
}

/// Returns `None` for what is no snapshot: a slot that a collector burnt, or one that went since it
/// was listed.
fn is_there(loaded: Result<Option<Snapshot>>) -> Option<Result<Snapshot>> {
    match loaded {
        Err(error) if error.is_not_found() => None,
        loaded => loaded.transpose(),
    }
}

/// Lists all snapshots that are not forgotten, oldest first; slots that a collector burnt are left
/// out.
///
/// A snapshot that is damaged or not signed by this repository's key is returned as its error,
/// beside the good ones.
pub fn list_all(repository: &Repository) -> Result<Vec<(SnapshotId, Result<Snapshot>)>> {
    Ok(overview(repository)?.snapshots)
}

/// Lists all snapshots that are not forgotten, oldest first; fails if one of them is damaged.
pub fn list(repository: &Repository) -> Result<Vec<Snapshot>> {
    list_all(repository)?.into_iter().map(|(_, snapshot)| snapshot).collect()
}

/// Loads one snapshot and verifies seal, name, repository and signature; `None` for a burnt slot.
pub fn load(repository: &Repository, id: &SnapshotId) -> Result<Option<Snapshot>> {
    let key = layout::snapshot_key(id);
    if let Some(copy) = load_cached(repository, id) {
        return Ok(Some(copy));
    }
    let bytes = read_small(repository.store(), &key)?;
    let snapshot = parse(repository, id, &key, &bytes)?;
    if snapshot.is_some() {
        let _ = repository.cache().write("snapshots", &id.to_hex(), &bytes);
    }
    Ok(snapshot)
}

/// Reads the snapshot in a listed slot of this length, whatever the cache holds, and verifies it
/// like [`load`].
pub(in crate::repo) fn load_whole(
    repository: &Repository,
    (id, len_bytes): (&SnapshotId, u64),
) -> Result<Option<Snapshot>> {
    let key = layout::snapshot_key(id);
    parse(repository, id, &key, &read_listed(repository.store(), &key, len_bytes)?)
}

/// Reads one snapshot from the store, whatever the cache holds, and verifies it like [`load`].
pub fn load_from_store(repository: &Repository, id: &SnapshotId) -> Result<Option<Snapshot>> {
    let key = layout::snapshot_key(id);
    parse(repository, id, &key, &read_small(repository.store(), &key)?)
}

/// Loads the local copy of a snapshot without asking the store.
pub fn load_cached(repository: &Repository, id: &SnapshotId) -> Option<Snapshot> {
    let bytes = repository.cache().read("snapshots", &id.to_hex())?;
    parse(repository, id, &layout::snapshot_key(id), &bytes).ok()?
}

fn parse(
    repository: &Repository,
    id: &SnapshotId,
    key: &Key,
    bytes: &[u8],
) -> Result<Option<Snapshot>> {
    let plain =
        repository.open_single(ContainerKind::Snapshot, bytes).map_err(Error::damaged(key))?;
    let slot = codec::decode("commit slot", &plain).map_err(Error::malformed(key))?;
    let CommitSlot::Snapshot { signed, signature } = slot else {
        return Ok(None);
    };
    let snapshot = Snapshot::decode(&signed).map_err(Error::malformed(key))?;
    let is_signed = |signed| {
        repository.opened().is_signed(ContainerKind::Snapshot, signed, Keyring::verify_snapshot)
    };
    let trusted = snapshot.writer == repository.keyring().verifying_key();
    if !trusted || !is_signed((&snapshot.writer, &signed, &signature)) {
        return Err(Error::BadSignature { object: key.to_string() });
    }
    if snapshot.id != *id || snapshot.repository != repository.keyring().repository() {
        return Err(Error::WrongContent { object: key.to_string() });
    }
    Ok(Some(snapshot))
}
