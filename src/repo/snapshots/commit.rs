//! Commit of a snapshot, and its place in the chain of its host.
//!
//! One object decides whether a snapshot exists: until it is created, the backup can be abandoned
//! without a trace, and after that nothing is left to do. A collector that presumes a session dead
//! fills the same slot first, so that only one of the two can continue.
//!
//! Spec: `format-spec/08-snapshots.md`, sections 2 and 4.

use super::load;
use super::order::chain_hash;
use super::prepare::{NewTree, Prepared};
use crate::format::codec;
use crate::format::container::ContainerKind;
use crate::format::limits;
use crate::format::snapshot::{CommitSlot, Snapshot};
use crate::id::SnapshotId;
use crate::repo::error::{Error, Result};
use crate::repo::gc::known_whole;
use crate::repo::objects::create_once::{Created, create_once};
use crate::repo::objects::layout;
use crate::repo::objects::sized_read::read_small;
use crate::repo::open::{Repository, check_writable};
use crate::repo::write::DurablePacks;
use crate::store::ErrorKind;

/// Returns a new random snapshot id.
pub fn new_id(repository: &Repository) -> Result<SnapshotId> {
    Ok(layout::new_session(&repository.random_32()?))
}

/// Result of a commit.
pub enum Commit {
    /// The snapshot exists.
    Done,
    /// A collector presumed the session dead and filled its slot. All that was stored can be
    /// prepared and committed under a new id.
    Aborted(DurablePacks, NewTree),
    /// It is not known whether the slot was filled, and it is empty now. All that was stored can be
    /// prepared and committed under a new id.
    Lost(DurablePacks, NewTree, Error),
}

/// Commits a snapshot, which exists from then on. The token proves that all its chunks are durable
/// and that no collector removes them.
///
/// If the process dies before this returns, the snapshot either exists as a whole or does not
/// exist.
pub fn commit(repository: &Repository, snapshot: &Snapshot, prepared: Prepared) -> Result<Commit> {
    check_writable(repository.config())?;
    let signed = snapshot.encode();
    let signature = repository.sign_keys().sign_snapshot(&signed);
    let slot = codec::encode(&CommitSlot::Snapshot { signed: signed.clone(), signature });
    let sealed = repository.seal_single(ContainerKind::Snapshot, &slot)?;
    let key = layout::snapshot_key(&snapshot.id);
    // A snapshot that no reader accepts must not be stored: the backup would have succeeded in
    // vain.
    if Snapshot::decode(&signed).map_err(Error::malformed(&key))? != *snapshot
        || snapshot.id != prepared.session()
    {
        return Err(Error::WrongContent { object: key.to_string() });
    }
    let whole_after = prepared.whole_after();
    let created = match create_once(repository.store(), &key, &sealed.bytes) {
        Err(error) if is_unknown(&error) => match read_small(repository.store(), &key) {
            // The request arrived after `create_once` had looked for the object.
            Ok(bytes) if bytes == sealed.bytes && is_unanswered(&error) => Created::ByUs,
            // The store may show an object that it could not write: a disk does so until it is
            // mounted again.
            Ok(bytes) if bytes == sealed.bytes => return Err(error),
            Ok(bytes) => Created::ByOther(bytes),
            // The snapshot may have been created, forgotten and dropped since. Created again under
            // this id, it would lack its chunks.
            Err(absent) if absent.is_not_found() => {
                let (durable, tree) = prepared.renamed()?;
                return Ok(Commit::Lost(durable, tree, error));
            }
            Err(_) => return Err(error),
        },
        created => created?,
    };
    match created {
        Created::ByUs => {
            // The snapshot exists now, even if the local copy cannot be written.
            let _ = repository.cache().write("snapshots", &snapshot.id.to_hex(), &sealed.bytes);
            repository.witness().saw_snapshots(std::iter::once(snapshot), |_| false);
            let _ = known_whole::note(repository, &snapshot.id, whole_after);
            prepared.note_index();
            Ok(Commit::Done)
        }
        Created::ByOther(bytes)
            if load::parse(repository, &snapshot.id, &key, &bytes)?.is_none() =>
        {
            let (durable, tree) = prepared.renamed()?;
            Ok(Commit::Aborted(durable, tree))
        }
        Created::ByOther(_) => Err(Error::WrongContent { object: key.to_string() }),
    }
}

/// Returns whether the slot may be filled although its creation failed.
fn is_unknown(error: &Error) -> bool {
    is_unanswered(error) || matches!(error, Error::Store(error) if error.kind == ErrorKind::Other)
}

/// Returns whether the request may have succeeded, and only its answer was lost.
fn is_unanswered(error: &Error) -> bool {
    matches!(error, Error::Store(error) if error.kind == ErrorKind::Unanswered)
}

/// Returns the sequence number of the snapshot that follows `previous`, and the hash of `previous`.
pub fn place_after(previous: Option<&Snapshot>) -> (u64, Option<[u8; 32]>) {
    match previous.filter(|previous| can_be_followed(previous)) {
        Some(previous) => (previous.sequence + 1, Some(chain_hash(previous))),
        None => (1, None),
    }
}

/// Returns whether a sequence number is left for a next snapshot. Someone with a stolen key can
/// create a snapshot after which there is none.
pub fn can_be_followed(snapshot: &Snapshot) -> bool {
    snapshot.sequence < limits::SEQUENCE_MAX
}
