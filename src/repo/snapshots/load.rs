//! Loading of one snapshot from its commit slot, with verification.
//!
//! A snapshot is accepted only if its seal, name, repository and signature are right. A local copy
//! saves a request.
//!
//! Spec: `format-spec/08-snapshots.md`, sections 1 to 3.

use super::trash;
use crate::crypto::signing;
use crate::format::codec;
use crate::format::container::ContainerKind;
use crate::format::snapshot::{CommitSlot, Snapshot};
use crate::id::SnapshotId;
use crate::repo::error::{Error, Result};
use crate::repo::objects::layout;
use crate::repo::objects::sized_read::{read_listed, read_small};
use crate::repo::open::Repository;
use crate::repo::open::Signed;
use crate::store::Key;

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

/// Reads the snapshot in a listed slot of `len_bytes` bytes from the store, not from the cache, and
/// verifies it like [`load`].
pub(in crate::repo) fn load_whole(
    repository: &Repository,
    id: &SnapshotId,
    len_bytes: u64,
) -> Result<Option<Snapshot>> {
    let key = layout::snapshot_key(id);
    parse(repository, id, &key, &read_listed(repository.store(), &key, len_bytes)?)
}

/// Reads one snapshot from the store, not from the cache, and verifies it like [`load`].
pub fn load_from_store(repository: &Repository, id: &SnapshotId) -> Result<Option<Snapshot>> {
    let key = layout::snapshot_key(id);
    parse(repository, id, &key, &read_small(repository.store(), &key)?)
}

/// Loads the local copy of a snapshot; sends no request.
pub fn load_cached(repository: &Repository, id: &SnapshotId) -> Option<Snapshot> {
    let bytes = repository.cache().read("snapshots", &id.to_hex())?;
    parse(repository, id, &layout::snapshot_key(id), &bytes).ok()?
}

/// Opens a commit slot and verifies its snapshot; `None` if a collector burnt the slot.
pub(super) fn parse(
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
    let is_signed = |signed: Signed<'_>| {
        repository.verified().is_signed(ContainerKind::Snapshot, signed, signing::verify_snapshot)
    };
    let trusted = snapshot.writer == repository.writer();
    if !trusted
        || !is_signed(Signed { writer: &snapshot.writer, bytes: &signed, signature: &signature })
    {
        return Err(Error::BadSignature { object: key.to_string() });
    }
    if snapshot.id != *id || snapshot.repository != repository.id() {
        return Err(Error::WrongContent { object: key.to_string() });
    }
    Ok(Some(snapshot))
}

/// Reads a snapshot, or returns its error if it is damaged. Fails if the store cannot be reached:
/// if the snapshot were skipped then, an older one would count as the newest.
pub(super) fn load_any(
    repository: &Repository,
    id: &SnapshotId,
    len_bytes: u64,
) -> Result<Result<Option<Snapshot>>> {
    match load_listed(repository, id, len_bytes) {
        Err(error) if error.is_trouble() || matches!(error, Error::RolledBack { .. }) => Err(error),
        loaded => Ok(loaded),
    }
}

/// Loads the snapshot in a listed slot of `len_bytes` bytes, from the local copy if that has the
/// same length.
///
/// Fails with `RolledBack` if the slot is burnt, but this machine has a copy of its snapshot, which
/// was not forgotten.
pub(super) fn load_listed(
    repository: &Repository,
    id: &SnapshotId,
    len_bytes: u64,
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
        // The copy is only a hint, so an error while it is written does not matter.
        (Some(_), _) => drop(repository.cache().write("snapshots", &hex, &bytes)),
        // A delayed collector may burn the slot of a dropped snapshot, which is as good as an empty
        // slot.
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

/// Returns `None` for a slot without a snapshot: one that a collector burnt, or that was removed
/// since it was listed.
pub(super) fn is_there(loaded: Result<Option<Snapshot>>) -> Option<Result<Snapshot>> {
    match loaded {
        Err(error) if error.is_not_found() => None,
        loaded => loaded.transpose(),
    }
}
