//! Trash: forgotten snapshots, their tombstones, and how they are brought back.
//!
//! A forgotten snapshot is hidden from listings, and stays a root for collectors until the end of
//! its window.
//!
//! Spec: `format-spec/08-snapshots.md`, section 5.

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

/// Trash window: time for which a forgotten snapshot can be brought back, in seconds (7 days).
pub const TRASH_WINDOW_S: i64 = 7 * 24 * 3600;
/// Cache group of local copies of tombstones.
const CACHE_GROUP: &str = "tombstones";

/// A snapshot in the trash.
#[derive(Debug)]
pub struct Forgotten {
    /// Its tombstone, with the author, time and reason.
    pub tombstone: Tombstone,
    /// Time of the tombstone by the store's clock, in seconds since 1970, if the store states it.
    pub stored_s: Option<i64>,
    /// The snapshot, or the error if it cannot be read.
    pub snapshot: Result<Snapshot>,
}

/// Time that decides about the end of the trash window.
#[derive(Clone, Copy, Debug)]
pub struct TrashClock {
    /// This host's time.
    pub now: Timestamp,
    /// The newest time that the store stated of any object, in seconds since 1970.
    pub store_s: Option<i64>,
}

impl Forgotten {
    /// Returns whether the window has ended by this host's clock, and by the store's if it states
    /// times.
    ///
    /// One wrong clock makes the window longer, never shorter. A window of 0 seconds has always
    /// ended.
    pub fn has_expired(&self, window_s: i64, clock: TrashClock) -> bool {
        let passed = |since: i64, now: i64| now.saturating_sub(since) >= window_s;
        let by_store =
            self.stored_s.is_none_or(|stored| clock.store_s.is_some_and(|now| passed(stored, now)));
        window_s <= 0 || by_store && passed(self.tombstone.forgotten.seconds, clock.now.seconds)
    }

    /// Returns the earliest end of the window, if all clocks are right.
    pub fn ends(&self, window_s: i64) -> Timestamp {
        let began = self.tombstone.forgotten.seconds.max(self.stored_s.unwrap_or(i64::MIN));
        Timestamp { seconds: began.saturating_add(window_s), nanos: 0 }
    }
}

/// Puts a snapshot into the trash by a signed tombstone. Returns false if it was there already.
///
/// `hash` is the snapshot's `chain_hash`, `None` if it cannot be read. [`Repository::confirm_key`]
/// must have been called. If the process dies before this returns, the snapshot is either forgotten
/// or unchanged.
pub fn forget(
    repository: &Repository,
    id: &SnapshotId,
    hash: Option<[u8; 32]>,
    note: &ForgetNote,
) -> Result<bool> {
    let note = &with_new_time(repository, id, hash, note);
    match signed_marks::create(repository, MarkKind::Tombstone, id, hash, note)? {
        Some(bytes) => {
            // The snapshot is forgotten now, even if the local copy cannot be written.
            let _ = repository.cache().write(CACHE_GROUP, &id.to_hex(), &bytes);
            Ok(true)
        }
        // The existing tombstone counts, but only if it is valid: the caller must be able to rely
        // on the answer.
        None => load(repository, id).map(|_| false),
    }
}

/// Returns the note with a time that makes its tombstone differ from all that this machine took
/// back, even if a clock has stopped or counts only seconds.
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
/// Fails with `NotForgotten`, or with `Collected` if its window has ended or its slot is gone. A
/// tombstone that is not valid is removed, too. If a collector must be stopped, `is_exclusive` is
/// called ([`crate::repo::open::probe::is_exclusive`]); fails with [`Error::Undecided`] if it
/// returns false.
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
        // A tombstone that was taken back does not count, even if its window has ended.
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
        // A damaged tombstone need not be restored if this fails.
        Err(error) if error.is_damage() && !error.is_not_found() => None,
        read => Some(read?),
    };
    repository.store().remove(&tombstone)?;
    repository.cache().remove(CACHE_GROUP, &id.to_hex());
    // A collector that has condemned the snapshot may not see that the tombstone is gone, so its
    // verdict decides.
    let kept = keep(repository, id, now, is_exclusive).and_then(|()| {
        match repository.store().stat(&slot) {
            // A collector has removed the slot meanwhile, so the snapshot is not back.
            Err(error) if error.kind == ErrorKind::NotFound => Err(Error::Collected { id: *id }),
            stat => Ok(stat.map(drop)?),
        }
    });
    if kept.is_ok() {
        // This is remembered because a store may put the tombstone back one day.
        hash.iter().for_each(|hash| repository.witness().took_back(hash));
    } else if let Some(bytes) = bytes {
        // The tombstone must go on explaining why the snapshot is missing; and after a failure, the
        // state must be as before.
        create_once(repository.store(), &tombstone, &bytes)?;
    }
    kept
}

/// Returns the hash that identifies a tombstone.
fn hash_of(tombstone: &Tombstone) -> [u8; 32] {
    *blake3::hash(&tombstone.encode()).as_bytes()
}

/// Returns whether this machine took the tombstone back, by `undelete`. A later tombstone of the
/// same snapshot is another one.
fn is_taken_back(repository: &Repository, tombstone: &Tombstone) -> bool {
    repository.witness().has_taken_back(&hash_of(tombstone))
}

/// Cancels open generations that drop a snapshot whose tombstone was just removed; fails with
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
            // On this store the collector would not notice this verdict, and would carry out its
            // own.
            return Err(Error::Undecided { id: *id });
        }
        if generations::decide(repository, number, now, None)?
            .is_some_and(|removal| names_it(&removal))
        {
            return Err(Error::Collected { id: *id });
        }
    }
    // A dropped snapshot cannot be brought back, even if its slot is filled again.
    if generations.dropped(repository)?.contains(id) {
        Err(Error::Collected { id: *id })
    } else {
        Ok(())
    }
}

/// Returns the newest time in a listing.
pub fn newest_s(listed: &[Listed]) -> Option<i64> {
    listed.iter().filter_map(|object| object.modified_s).max()
}

/// Reads a tombstone from the store and verifies seal, name, repository and signature.
///
/// Fails with `Unjustified` if this machine took it back: a store may put it back, but then it
/// neither hides nor explains anything.
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

/// Keeps a local copy of a tombstone, unless this machine took it back.
fn admit(
    repository: &Repository,
    id: &SnapshotId,
    tombstone: Tombstone,
    bytes: &[u8],
) -> Result<Tombstone> {
    if is_taken_back(repository, &tombstone) {
        let key = layout::tombstone_key(id);
        // Another process of this machine may be removing it just now; then this fails with
        // `NotFound`.
        repository.store().stat(&key)?;
        let why = format!("it was taken back when snapshot {} was brought back", id.short());
        return Err(Error::Unjustified { object: key.to_string(), why });
    }
    let _ = repository.cache().write(CACHE_GROUP, &id.to_hex(), bytes);
    Ok(tombstone)
}

/// Returns the local copy of a tombstone, if it has the listed length.
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

/// Returns the local copy of a tombstone, which may have been removed from the store since.
pub fn load_cached(repository: &Repository, id: &SnapshotId) -> Option<Tombstone> {
    parse_copy(repository, id, &repository.cache().read(CACHE_GROUP, &id.to_hex())?)
}

/// Returns the snapshots of all local copies of tombstones, and their hashes.
pub(in crate::repo) fn hashes_of_copies(repository: &Repository) -> Vec<(SnapshotId, [u8; 32])> {
    let names = repository.cache().names(CACHE_GROUP);
    let ids = names.iter().filter_map(|name| SnapshotId::from_hex(name));
    ids.filter_map(|id| Some((id, load_cached(repository, &id)?.hash?))).collect()
}

fn parse_copy(repository: &Repository, id: &SnapshotId, bytes: &[u8]) -> Option<Tombstone> {
    let tombstone = signed_marks::parse(repository, MarkKind::Tombstone, id, bytes).ok()?;
    (!is_taken_back(repository, &tombstone)).then_some(tombstone)
}

/// Drops the local copies of tombstones for which `is_back` returns true.
pub(in crate::repo) fn drop_copies(repository: &Repository, is_back: impl Fn(&SnapshotId) -> bool) {
    for name in repository.cache().names(CACHE_GROUP) {
        if SnapshotId::from_hex(&name).is_none_or(|id| is_back(&id)) {
            repository.cache().remove(CACHE_GROUP, &name);
        }
    }
}

/// Returns whether a missing snapshot was forgotten before, so that it was removed on purpose,
/// unless it has a valid protection.
///
/// If its tombstone is missing, because of an `undelete` that is or was too late, the verdict that
/// dropped it decides.
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

/// Fails with `RolledBack` if a snapshot that this machine has cached or remembers is missing and
/// was not forgotten.
pub fn refuse_hidden(repository: &Repository, present: &Present) -> Result<()> {
    let copies = repository.cache().names("snapshots");
    let mut seen: HashSet<SnapshotId> =
        copies.iter().filter_map(|name| SnapshotId::from_hex(name)).collect();
    seen.extend(repository.witness().heads());
    refuse_missing(repository, seen, present)
}

/// Fails with `RolledBack` for the first of these snapshots that is hidden.
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
        // The snapshot may have been committed since the slots were listed.
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
