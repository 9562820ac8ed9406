//! Forgotten snapshots: their tombstones, how long they can be brought back, and bringing them
//! back.
//!
//! A forgotten snapshot is hidden from listings, and stays a root for collectors until its window
//! is over. Spec: `format-spec/08-snapshots.md`, section 5.

use std::collections::HashSet;

use super::present::Present;
pub use super::signed_marks::ForgetNote;
use super::signed_marks::{self, MarkKind};
use crate::format::entry::Timestamp;
use crate::format::generation::Removal;
use crate::format::snapshot::Snapshot;
use crate::format::tombstone::Tombstone;
use crate::id::SnapshotId;
use crate::repo::error::{Error, Result};
use crate::repo::gc::generations::{self, GenerationState, Generations};
use crate::repo::objects::create_once::create_once;
use crate::repo::objects::layout;
use crate::repo::objects::sized_read::read_listed;
use crate::repo::open::{Repository, check_writable};
use crate::store::{Class, ErrorKind, Key, Listed};

/// How long a forgotten snapshot can be brought back, in seconds: 7 days.
pub const TRASH_WINDOW_S: i64 = 7 * 24 * 3600;
/// The group of local copies of tombstones.
const CACHE_GROUP: &str = "tombstones";

/// A snapshot in the trash.
#[derive(Debug)]
pub struct Forgotten {
    /// Who forgot it, when and why.
    pub tombstone: Tombstone,
    /// When the tombstone was made by the store's clock, in seconds since 1970, if the store says.
    pub stored_s: Option<i64>,
    /// The snapshot, or why it cannot be read.
    pub snapshot: Result<Snapshot>,
}

/// What time it is, as far as it decides about the trash window.
#[derive(Clone, Copy, Debug)]
pub struct TrashClock {
    /// This host's time.
    pub now: Timestamp,
    /// The newest time that the store stated of any object, in seconds since 1970.
    pub store_s: Option<i64>,
}

impl Forgotten {
    /// Returns whether the window is over: by this host's clock, and by the store's where it states
    /// times.
    ///
    /// One wrong clock makes the window longer, never shorter. A window of 0 seconds is always
    /// over.
    pub fn has_expired(&self, window_s: i64, clock: TrashClock) -> bool {
        let passed = |since: i64, now: i64| now.saturating_sub(since) >= window_s;
        let by_store =
            self.stored_s.is_none_or(|stored| clock.store_s.is_some_and(|now| passed(stored, now)));
        window_s <= 0 || by_store && passed(self.tombstone.forgotten.seconds, clock.now.seconds)
    }

    /// Returns when the window is over at the earliest, if all clocks are right.
    pub fn ends(&self, window_s: i64) -> Timestamp {
        let began = self.tombstone.forgotten.seconds.max(self.stored_s.unwrap_or(i64::MIN));
        Timestamp { seconds: began.saturating_add(window_s), nanos: 0 }
    }
}

/// Puts a snapshot into the trash: signs and creates its tombstone. Returns false if it was there
/// already.
///
/// `hash` is the snapshot's `chain_hash`, `None` if it cannot be read. [`Repository::confirm_key`]
/// must have been called. If the process dies before this returns, the snapshot is forgotten or
/// not, and nothing else.
pub fn forget(
    repository: &Repository,
    id: &SnapshotId,
    hash: Option<[u8; 32]>,
    note: &ForgetNote,
) -> Result<bool> {
    let note = &with_new_time(repository, id, hash, note);
    match signed_marks::create(repository, MarkKind::Tombstone, id, hash, note)? {
        Some(bytes) => {
            // It is forgotten now, whatever becomes of the local copy.
            let _ = repository.cache().write(CACHE_GROUP, &id.to_hex(), &bytes);
            Ok(true)
        }
        // The first one counts, if it does: a user who is told that the snapshot is forgotten must
        // be able to rely on it.
        None => load(repository, id).map(|_| false),
    }
}

/// Returns the note with a time at which its tombstone is not one that this machine took back:
/// clocks may stand still, or state seconds.
fn with_new_time(
    repository: &Repository,
    id: &SnapshotId,
    hash: Option<[u8; 32]>,
    note: &ForgetNote,
) -> ForgetNote {
    let mut note = note.clone();
    while is_taken_back(repository, &signed_marks::unsigned(repository, id, hash, &note)) {
        note.now = match note.now.nanos {
            999_999_999.. => Timestamp { seconds: note.now.seconds.saturating_add(1), nanos: 0 },
            nanos => Timestamp { nanos: nanos + 1, ..note.now },
        };
    }
    note
}

/// Brings a forgotten snapshot back, by removing its tombstone.
///
/// Fails if it is not forgotten, if its window is over, or if its slot is gone: then it is too
/// late. A tombstone that does not hold is removed too. `is_exclusive` is asked for
/// [`crate::repo::open::probe::is_exclusive`] if a collector has to be stopped; if the store is
/// not, that fails with [`Error::Undecided`].
pub fn undelete(
    repository: &Repository,
    id: &SnapshotId,
    window_s: i64,
    now: Timestamp,
    is_exclusive: &dyn Fn() -> Result<bool>,
) -> Result<()> {
    check_writable(repository.config())?;
    let listed = repository.store().list(Class::Snapshots, "")?;
    let slot = layout::snapshot_key(id);
    let tombstone = layout::tombstone_key(id);
    let find = |key: &Key| listed.iter().find(|object| object.name == key.name);
    let found = find(&tombstone).ok_or(Error::NotForgotten { id: *id })?;
    find(&slot).ok_or(Error::Collected { id: *id })?;
    let mut hash = None;
    match signed_marks::load(repository, MarkKind::Tombstone, id) {
        // It did not count, whatever its date says.
        Ok((tombstone, _)) if is_taken_back(repository, &tombstone) => {
            hash = Some(hash_of(&tombstone))
        }
        Ok((tombstone, _)) => {
            hash = Some(hash_of(&tombstone));
            let snapshot = Err(Error::NotForgotten { id: *id });
            let forgotten = Forgotten { tombstone, stored_s: found.modified_s, snapshot };
            let has_expired =
                forgotten.has_expired(window_s, TrashClock { now, store_s: newest_s(&listed) });
            // No collector drops what is protected.
            if has_expired && find(&layout::protection_key(id)).is_none() {
                return Err(Error::Collected { id: *id });
            }
        }
        Err(error) if error.is_damage() => {}
        Err(error) => return Err(error),
    }
    let bytes = match read_listed(repository.store(), &tombstone, found.len_bytes) {
        // It holds for nothing: nobody misses it.
        Err(error) if error.is_damage() && !error.is_not_found() => None,
        read => Some(read?),
    };
    repository.store().remove(&tombstone)?;
    repository.cache().remove(CACHE_GROUP, &id.to_hex());
    // A collector that condemned it before may not have seen that the tombstone is gone: its
    // verdict decides.
    let kept = keep(repository, id, now, is_exclusive).and_then(|()| {
        match repository.store().stat(&slot) {
            // A collector that came between removed the slot; nobody must believe that the snapshot
            // is back.
            Err(error) if error.kind == ErrorKind::NotFound => Err(Error::Collected { id: *id }),
            stat => Ok(stat.map(drop)?),
        }
    });
    if kept.is_ok() {
        // A store may put it back one day.
        hash.iter().for_each(|hash| repository.witness().took_back(hash));
    } else if let Some(bytes) = bytes {
        // It goes on explaining where the snapshot went; and what failed halfway is to be as it
        // was.
        create_once(repository.store(), &tombstone, &bytes)?;
    }
    kept
}

/// Returns a hash by which a tombstone is known again.
fn hash_of(tombstone: &Tombstone) -> [u8; 32] {
    *blake3::hash(&tombstone.encode()).as_bytes()
}

/// Returns whether this machine took the tombstone back. One that is made for the same snapshot
/// later is another.
fn is_taken_back(repository: &Repository, tombstone: &Tombstone) -> bool {
    repository.witness().has_taken_back(&hash_of(tombstone))
}

/// Makes sure that no generation drops a snapshot whose tombstone was just removed; fails with
/// `Collected` if it is too late.
fn keep(
    repository: &Repository,
    id: &SnapshotId,
    now: Timestamp,
    is_exclusive: &dyn Fn() -> Result<bool>,
) -> Result<()> {
    let names_it = |removal: &Removal| removal.snapshots.binary_search(id).is_ok();
    let generations = Generations::list(repository)?;
    for number in generations.numbers() {
        let GenerationState::Open(removal) = generations.state(repository, number)? else {
            continue;
        };
        if !names_it(&removal) {
            continue;
        }
        if !is_exclusive()? {
            // The collector would not be told that there is a verdict: both would be carried out.
            return Err(Error::Undecided { id: *id });
        }
        if generations::decide(repository, number, now, None)?
            .is_some_and(|removal| names_it(&removal))
        {
            return Err(Error::Collected { id: *id });
        }
    }
    // Whatever its slot holds by now.
    if generations.dropped(repository)?.contains(id) {
        Err(Error::Collected { id: *id })
    } else {
        Ok(())
    }
}

/// Returns the newest time that a listing states.
pub fn newest_s(listed: &[Listed]) -> Option<i64> {
    listed.iter().filter_map(|object| object.modified_s).max()
}

/// Reads a tombstone from the store and verifies seal, name, repository and signature.
///
/// Fails with `Unjustified` if this machine took it back: a store may put it there again, and it
/// hides and explains nothing then.
pub fn load(repository: &Repository, id: &SnapshotId) -> Result<Tombstone> {
    let (tombstone, bytes) = signed_marks::load(repository, MarkKind::Tombstone, id)?;
    admit(repository, id, tombstone, &bytes)
}

/// Reads a tombstone whose length is known from a listing, and verifies it like [`load`].
pub(in crate::repo) fn load_listed(
    repository: &Repository,
    id: &SnapshotId,
    len_bytes: u64,
) -> Result<Tombstone> {
    let (tombstone, bytes) =
        signed_marks::load_listed(repository, MarkKind::Tombstone, id, len_bytes)?;
    admit(repository, id, tombstone, &bytes)
}

/// Keeps a copy of a tombstone, unless this machine took it back.
fn admit(
    repository: &Repository,
    id: &SnapshotId,
    tombstone: Tombstone,
    bytes: &[u8],
) -> Result<Tombstone> {
    if is_taken_back(repository, &tombstone) {
        let key = layout::tombstone_key(id);
        // Another process of this machine may be taking it back just now.
        repository.store().stat(&key)?;
        let why = format!("it was taken back when snapshot {} was brought back", id.short());
        return Err(Error::Unjustified { object: key.to_string(), why });
    }
    let _ = repository.cache().write(CACHE_GROUP, &id.to_hex(), bytes);
    Ok(tombstone)
}

/// Returns the local copy of a tombstone whose object has this length now.
pub(in crate::repo) fn load_copy_of(
    repository: &Repository,
    id: &SnapshotId,
    len_bytes: u64,
) -> Option<Tombstone> {
    let bytes = repository
        .cache()
        .read(CACHE_GROUP, &id.to_hex())
        .filter(|bytes| bytes.len() as u64 == len_bytes)?;
    parse_copy(repository, id, &bytes)
}

/// Returns the local copy of a tombstone. It may have been removed since.
pub fn load_cached(repository: &Repository, id: &SnapshotId) -> Option<Tombstone> {
    parse_copy(repository, id, &repository.cache().read(CACHE_GROUP, &id.to_hex())?)
}

/// Returns the snapshots that local copies of tombstones are about, and their hashes.
pub(in crate::repo) fn hashes_of_copies(repository: &Repository) -> Vec<(SnapshotId, [u8; 32])> {
    let names = repository.cache().names(CACHE_GROUP);
    let ids = names.iter().filter_map(|name| SnapshotId::from_hex(name));
    ids.filter_map(|id| Some((id, load_cached(repository, &id)?.hash?))).collect()
}

fn parse_copy(repository: &Repository, id: &SnapshotId, bytes: &[u8]) -> Option<Tombstone> {
    let tombstone = signed_marks::parse(repository, MarkKind::Tombstone, id, bytes).ok()?;
    (!is_taken_back(repository, &tombstone)).then_some(tombstone)
}

/// Drops the local copies of tombstones whose snapshots `is_back` says are listed again.
pub(in crate::repo) fn drop_copies(repository: &Repository, is_back: impl Fn(&SnapshotId) -> bool) {
    for name in repository.cache().names(CACHE_GROUP) {
        if SnapshotId::from_hex(&name).is_none_or(|id| is_back(&id)) {
            repository.cache().remove(CACHE_GROUP, &name);
        }
    }
}

/// Returns whether a snapshot that is gone was forgotten before, so that it was removed on purpose,
/// unless a protection holds.
///
/// Where its tombstone is gone, because an undelete comes or came too late, the verdict
/// that dropped it tells.
pub fn was_forgotten(repository: &Repository, id: &SnapshotId) -> Result<bool> {
    if load_cached(repository, id).is_some() {
        return Ok(true);
    }
    match load(repository, id) {
        Ok(_) => Ok(true),
        Err(error) if error.is_damage() => {
            Ok(Generations::list(repository)?.dropped(repository)?.contains(id))
        }
        Err(error) => Err(error),
    }
}

/// Fails with `RolledBack` if a snapshot that this machine has seen, or remembers, is not present,
/// and nobody forgot it.
pub fn refuse_hidden(repository: &Repository, present: &Present) -> Result<()> {
    let copies = repository.cache().names("snapshots");
    let mut seen: HashSet<SnapshotId> =
        copies.iter().filter_map(|name| SnapshotId::from_hex(name)).collect();
    seen.extend(repository.witness().heads());
    refuse_missing(repository, seen, present)
}

/// Fails with `RolledBack` for the first of these that is hidden.
pub(in crate::repo) fn refuse_missing(
    repository: &Repository,
    known: impl IntoIterator<Item = SnapshotId>,
    present: &Present,
) -> Result<()> {
    let missing: Vec<SnapshotId> =
        known.into_iter().filter(|id| !present.slots.contains(id)).collect();
    let guarded = present.bare.guarded(repository, missing.iter().copied())?;
    for id in missing {
        let is_dropped = !guarded.contains(&id) && was_forgotten(repository, &id)?;
        // It may have been committed since the slots were listed.
        if is_dropped || is_there(repository, &id)? {
            continue;
        }
        let what = format!("snapshot {}", id.short());
        return Err(Error::RolledBack { location: repository.location().to_owned(), what });
    }
    Ok(())
}

fn is_there(repository: &Repository, id: &SnapshotId) -> Result<bool> {
    match repository.store().stat(&layout::snapshot_key(id)) {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
        stat => Ok(stat.map(|_| true)?),
    }
}
