//! What running backups rely on. Spec: `format-spec/13-commit.md`, section 2.1.

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

/// Stores an intent, in parts if it names very many packs; returns the number of the next one.
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
        // What no reader takes must not be there: it would stop all collectors.
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

/// Everything that one session relies on.
#[derive(Default)]
pub struct SessionIntents {
    /// Its intents' numbers.
    pub numbers: Vec<u64>,
    /// When the newest was made, by the writer's clock.
    pub newest: Timestamp,
    /// When the newest was made, by the store's clock, in seconds since 1970; `None` if it does not
    /// say.
    pub stored_s: Option<i64>,
    /// Name of the host.
    pub host: String,
    /// Parents that it names.
    pub parents: Vec<SnapshotId>,
    /// Packs that it names.
    pub packs: Vec<ObjectId>,
}

/// Lists and reads all intents.
///
/// One that vanishes meanwhile was removed because its slot is filled: a later listing of
/// `snapshots/` shows that.
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

/// Reads one intent, of an object of this length, and verifies that it is what its name says.
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

/// Makes sure that a session never commits, unless it has done so already.
pub fn burn_slot(repository: &Repository, session: &SnapshotId) -> Result<()> {
    check_writable(repository.config())?;
    let slot = codec::encode(&CommitSlot::Aborted);
    let sealed = repository.seal_single(ContainerKind::Snapshot, &slot)?;
    match create_once(repository.store(), &layout::snapshot_key(session), &sealed.bytes) {
        // It was filled, and its snapshot dropped since.
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
