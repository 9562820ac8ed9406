//! The commit of a snapshot, and its place in the chain of its host.
//!
//! One object decides whether a snapshot exists: until it is created the backup can be given up
//! without a trace, and after that nothing is left to do. A collector that takes the session for
//! dead fills the same slot first, so that only one of the two can go on. Spec:
//! `format-spec/08-snapshots.md`, sections 2 and 4.

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

/// How a commit ended.
pub enum Commit {
    /// The snapshot exists.
    Done,
    /// A collector took the session for dead; all that was stored can be prepared and committed
    /// under a new id.
    Aborted(DurablePacks, NewTree),
    /// It is not known whether the snapshot was made, and it is not there; all can be prepared and
    /// committed under a new id.
    Lost(DurablePacks, NewTree, Error),
}

/// Commits a snapshot: the one step after which it exists. The token proves that all it needs is
/// durable and stays.
///
/// If the process dies before this returns, the snapshot either exists whole or not at all.
pub fn commit(repository: &Repository, snapshot: &Snapshot, prepared: Prepared) -> Result<Commit> {
    check_writable(repository.config())?;
    let signed = snapshot.encode();
    let signature = repository.sign_keys().sign_snapshot(&signed);
    let slot = codec::encode(&CommitSlot::Snapshot { signed: signed.clone(), signature });
    let sealed = repository.seal_single(ContainerKind::Snapshot, &slot)?;
    let key = layout::snapshot_key(&snapshot.id);
    // What no reader takes must not be there: the backup would have succeeded in vain.
    if Snapshot::decode(&signed).map_err(Error::malformed(&key))? != *snapshot
        || snapshot.id != prepared.session()
    {
        return Err(Error::WrongContent { object: key.to_string() });
    }
    let whole_after = prepared.whole_after();
    let created = match create_once(repository.store(), &key, &sealed.bytes) {
        Err(error) if is_unknown(&error) => match read_small(repository.store(), &key) {
            // The request arrived after `put` had looked whether it did.
            Ok(bytes) if bytes == sealed.bytes && is_unanswered(&error) => Created::ByUs,
            // What the store could not keep it may still show: a disk does until it is mounted
            // again.
            Ok(bytes) if bytes == sealed.bytes => return Err(error),
            Ok(bytes) => Created::ByOther(bytes),
            // It may have been made, forgotten and dropped since: made again under this id, it
            // would be there without its chunks.
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
            // It exists now, whatever becomes of the local copy.
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
