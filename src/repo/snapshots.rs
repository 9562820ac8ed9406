//! Committing, listing and naming snapshots. Spec: `format-spec/08-snapshots.md`.

use super::error::{Error, Result, random_32};
use super::names;
use super::open::{Repository, check_writable};
use super::session::Stored;
use crate::container::{open_single, seal_single};
use crate::crypto::keyring::Keyring;
use crate::format::codec;
use crate::format::container::ContainerKind;
use crate::format::entry::Timestamp;
use crate::format::snapshot::{CommitSlot, Snapshot};
use crate::id::SnapshotId;
use crate::store::{Class, Key};

/// Returns a new random snapshot id.
pub fn new_id() -> Result<SnapshotId> {
    Ok(SnapshotId(random_32()?[..16].try_into().expect("16 bytes")))
}

/// Commits a snapshot: the one step after which it exists. The token proves that all it needs is durable.
///
/// If the process dies before this returns, the snapshot either exists whole or not at all.
pub fn commit(repository: &Repository, snapshot: &Snapshot, stored: Stored) -> Result<()> {
    let _proof = stored;
    check_writable(repository.config())?;
    let signed = snapshot.encode();
    let signature = repository.keyring().sign_snapshot(&signed);
    let slot = codec::encode(&CommitSlot::Snapshot { signed, signature });
    let sealed = seal_single(repository.keyring(), ContainerKind::Snapshot, &random_32()?, &slot);
    repository.store().create(&names::snapshot_key(&snapshot.id), &sealed.bytes)?;
    repository.cache().write("snapshots", &snapshot.id.to_hex(), &sealed.bytes)
}

/// Returns the hash that the next snapshot of the same writer and host keeps of this one.
pub fn chain_hash(snapshot: &Snapshot) -> [u8; 32] {
    *blake3::hash(&snapshot.encode()).as_bytes()
}

/// Lists the ids of all commit slots in the store.
pub fn list_ids(repository: &Repository) -> Result<Vec<SnapshotId>> {
    let listed = repository.store().list(Class::Snapshots, "")?;
    Ok(listed.iter().filter_map(|object| SnapshotId::from_hex(&object.name)).collect())
}

/// Lists all snapshots, oldest first; slots that a collector burnt are left out.
///
/// A snapshot that is damaged or not signed by this repository's key is returned as its error, beside the good ones.
pub fn list_all(repository: &Repository) -> Result<Vec<(SnapshotId, Result<Snapshot>)>> {
    let mut found = Vec::new();
    for id in list_ids(repository)? {
        match load(repository, &id) {
            Ok(Some(snapshot)) => found.push((id, Ok(snapshot))),
            Ok(None) => {}
            Err(error) => found.push((id, Err(error))),
        }
    }
    found.sort_by_key(|(id, snapshot)| (snapshot.as_ref().map(order_of).unwrap_or_default(), *id));
    Ok(found)
}

/// Lists all snapshots, oldest first; fails if one of them is damaged.
pub fn list(repository: &Repository) -> Result<Vec<Snapshot>> {
    list_all(repository)?.into_iter().map(|(_, snapshot)| snapshot).collect()
}

fn order_of(snapshot: &Snapshot) -> (Timestamp, u64) {
    (snapshot.started, snapshot.sequence)
}

/// Loads one snapshot and verifies seal, name, repository and signature; `None` for a burnt slot.
pub fn load(repository: &Repository, id: &SnapshotId) -> Result<Option<Snapshot>> {
    let key = names::snapshot_key(id);
    if let Some(copy) = load_cached(repository, id) {
        return Ok(Some(copy));
    }
    let bytes = repository.store().read(&key)?;
    let snapshot = parse(repository, id, &key, &bytes)?;
    if snapshot.is_some() {
        repository.cache().write("snapshots", &id.to_hex(), &bytes)?;
    }
    Ok(snapshot)
}

/// Reads one snapshot from the store, whatever the cache holds, and verifies it like [`load`].
pub fn load_from_store(repository: &Repository, id: &SnapshotId) -> Result<Option<Snapshot>> {
    let key = names::snapshot_key(id);
    parse(repository, id, &key, &repository.store().read(&key)?)
}

/// Loads the local copy of a snapshot without asking the store.
pub fn load_cached(repository: &Repository, id: &SnapshotId) -> Option<Snapshot> {
    let bytes = repository.cache().read("snapshots", &id.to_hex())?;
    parse(repository, id, &names::snapshot_key(id), &bytes).ok()?
}

fn parse(repository: &Repository, id: &SnapshotId, key: &Key, bytes: &[u8]) -> Result<Option<Snapshot>> {
    let plain = open_single(repository.keyring(), ContainerKind::Snapshot, bytes).map_err(Error::damaged(key))?;
    let slot = codec::decode("commit slot", &plain).map_err(Error::malformed(key))?;
    let CommitSlot::Snapshot { signed, signature } = slot else {
        return Ok(None);
    };
    let snapshot = Snapshot::decode(&signed).map_err(Error::malformed(key))?;
    let trusted = snapshot.writer == repository.keyring().verifying_key();
    if !trusted || !Keyring::verify_snapshot(&snapshot.writer, &signed, &signature) {
        return Err(Error::BadSignature { object: key.to_string() });
    }
    if snapshot.id != *id || snapshot.repository != repository.keyring().repository() {
        return Err(Error::WrongContent { object: key.to_string() });
    }
    Ok(Some(snapshot))
}

/// Finds the snapshot that a user names: an id prefix, `latest`, `latest~2`.
pub fn resolve<'a>(snapshots: &'a [Snapshot], text: &str) -> Result<&'a Snapshot> {
    let missing = || Error::NotFound { what: "snapshot", text: text.to_owned() };
    if let Some(rest) = text.strip_prefix("latest") {
        let back = match rest.strip_prefix('~') {
            None if rest.is_empty() => 0,
            None => return Err(missing()),
            Some(number) => number.parse::<usize>().map_err(|_| missing())?,
        };
        return snapshots.len().checked_sub(back + 1).map(|at| &snapshots[at]).ok_or_else(missing);
    }
    let mut matching = snapshots.iter().filter(|snapshot| !text.is_empty() && snapshot.id.to_hex().starts_with(text));
    let found = matching.next().ok_or_else(missing)?;
    if matching.next().is_some() {
        return Err(Error::Ambiguous { what: "snapshot", text: text.to_owned() });
    }
    Ok(found)
}

/// Finds the newest snapshot of an app that was not started after `time`.
pub fn resolve_app_at<'a>(snapshots: &'a [Snapshot], app: &str, time: Timestamp) -> Result<&'a Snapshot> {
    let fits = |snapshot: &&Snapshot| snapshot.app == app && snapshot.started <= time;
    snapshots.iter().rev().find(fits).ok_or(Error::NotFound { what: "snapshot", text: app.to_owned() })
}
