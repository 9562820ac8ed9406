//! Intents: records of what running backups rely on.
//!
//! Spec: `format-spec/13-commit.md`, section 2.1.

use std::collections::{BTreeMap, HashSet};

use crate::format::codec::{self, DecodeError};
use crate::format::container::ContainerKind;
use crate::format::entry::Timestamp;
use crate::format::intent::Intent;
use crate::format::limits::RECORD_PACKS_MAX;
use crate::format::snapshot::CommitSlot;
use crate::id::{ObjectId, SnapshotId};
use crate::repo::error::{Error, Result};
use crate::repo::objects::create_once::{Created, create_once};
use crate::repo::objects::layout;
use crate::repo::objects::sized_read::read_listed;
use crate::repo::open::{Repository, check_writable};
use crate::store::{Class, ErrorKind};

/// Stores an intent, as several ones if it names very many packs; returns the number of the next
/// one.
pub fn write(repository: &Repository, intent: Intent, packs: &HashSet<ObjectId>) -> Result<u64> {
    check_writable(repository.config())?;
    let mut packs: Vec<ObjectId> = packs.iter().copied().collect();
    packs.sort_unstable();
    let mut parts: Vec<&[ObjectId]> = packs.chunks(RECORD_PACKS_MAX).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    let mut number = intent.number;
    for part in parts {
        let part = Intent { number, packs: part.to_vec(), ..intent.clone() };
        let key = layout::intent_key(&part.session, number);
        let bytes = part.encode();
        // An intent that no reader accepts must not be stored: it would stop all collectors.
        if Intent::decode(&bytes).map_err(Error::malformed(&key))? != part {
            return Err(Error::WrongContent { object: key.to_string() });
        }
        let sealed = repository.seal_single(ContainerKind::Intent, &bytes)?;
        if let Created::ByOther(_) = create_once(repository.store(), &key, &sealed.bytes)? {
            return Err(Error::WrongContent { object: key.to_string() });
        }
        number += 1;
    }
    Ok(number)
}

/// All that the intents of one session name.
#[derive(Default)]
pub struct SessionIntents {
    /// Numbers of the intents.
    pub numbers: Vec<u64>,
    /// Time of the newest, by the writer's clock.
    pub newest: Timestamp,
    /// Time of the newest by the store's clock, in seconds since 1970, if the store states it.
    pub stored_s: Option<i64>,
    /// Host of the session.
    pub host: String,
    /// The parents that it names.
    pub parents: Vec<SnapshotId>,
    /// The packs that it names.
    pub packs: Vec<ObjectId>,
}

/// Lists and reads all intents.
///
/// An intent that vanishes meanwhile was removed because its slot is filled; a later listing of
/// `snapshots/` shows the slot.
pub fn read_all(repository: &Repository) -> Result<BTreeMap<SnapshotId, SessionIntents>> {
    let mut sessions: BTreeMap<SnapshotId, SessionIntents> = BTreeMap::new();
    for object in repository.store().list(Class::Intents, "")? {
        let Some((session, number)) = layout::intent_of(&object.name) else {
            continue;
        };
        let intent = match read(repository, &session, number, object.len_bytes) {
            Err(error) if error.is_not_found() => continue,
            read => read?,
        };
        let known = sessions.entry(session).or_default();
        known.numbers.push(number);
        known.newest = known.newest.max(intent.created);
        known.stored_s = known.stored_s.max(object.modified_s);
        known.host = intent.host;
        known.parents.extend(intent.parent);
        known.packs.extend(intent.packs);
    }
    Ok(sessions)
}

/// Reads one intent from an object of `len_bytes` bytes, and verifies that it matches its name.
pub(in crate::repo) fn read(
    repository: &Repository,
    session: &SnapshotId,
    number: u64,
    len_bytes: u64,
) -> Result<Intent> {
    let key = layout::intent_key(session, number);
    let bytes = read_listed(repository.store(), &key, len_bytes)?;
    let plain =
        repository.open_single(ContainerKind::Intent, &bytes).map_err(Error::damaged(&key))?;
    let intent = Intent::decode(&plain).map_err(Error::malformed(&key))?;
    if intent.session != *session || intent.number != number {
        return Err(Error::malformed(&key)(DecodeError::new("intent", "in another's place")));
    }
    Ok(intent)
}

/// Fills the slot of a session so that it cannot commit any more, unless it has done so already.
pub fn burn_slot(repository: &Repository, session: &SnapshotId) -> Result<()> {
    check_writable(repository.config())?;
    let slot = codec::encode(&CommitSlot::Aborted);
    let sealed = repository.seal_single(ContainerKind::Snapshot, &slot)?;
    match create_once(repository.store(), &layout::snapshot_key(session), &sealed.bytes) {
        // The slot was filled, and its snapshot was dropped since.
        Err(Error::Store(error)) if error.kind == ErrorKind::Exists => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// Removes intents of a session whose slot is filled.
pub fn remove(repository: &Repository, session: &SnapshotId, numbers: &[u64]) -> Result<()> {
    for number in numbers {
        repository.store().remove(&layout::intent_key(session, *number))?;
    }
    Ok(())
}
