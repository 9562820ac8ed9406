//! Signed marks of a snapshot: tombstones and protections.
//!
//! Spec: `format-spec/08-snapshots.md`, sections 5 and 6.

use crate::crypto::signing;
use crate::format::codec;
use crate::format::container::ContainerKind;
use crate::format::entry::Timestamp;
use crate::format::limits::TOMBSTONE_LEN_MAX_BYTES;
use crate::format::tombstone::{Tombstone, TombstoneSlot};
use crate::id::SnapshotId;
use crate::repo::error::{Error, Result};
use crate::repo::gc::reserve;
use crate::repo::objects::layout;
use crate::repo::objects::sized_read::read_whole;
use crate::repo::open::Signed;
use crate::repo::open::{Repository, check_writable};
use crate::store::{ErrorKind, Key};

/// Longest mark that is read, in bytes: the longest structure with padding and seal is shorter.
const OBJECT_LEN_MAX_BYTES: u64 = 2 * TOMBSTONE_LEN_MAX_BYTES as u64;

/// Kind of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MarkKind {
    /// The snapshot is forgotten.
    Tombstone,
    /// No policy forgets the snapshot.
    Protection,
}

impl MarkKind {
    /// Returns the key of a snapshot's mark.
    pub(super) fn key(self, id: &SnapshotId) -> Key {
        match self {
            Self::Tombstone => layout::tombstone_key(id),
            Self::Protection => layout::protection_key(id),
        }
    }

    fn container(self) -> ContainerKind {
        match self {
            Self::Tombstone => ContainerKind::Tombstone,
            Self::Protection => ContainerKind::Protection,
        }
    }
}

/// Author, time and reason of a mark.
#[derive(Clone, Debug)]
pub struct ForgetNote {
    /// Host name.
    pub host: String,
    /// User name.
    pub user: String,
    /// Program and version.
    pub program: String,
    /// The time now; for a tombstone, the later one of the host's and the store's.
    pub now: Timestamp,
    /// Reason for people to read: a policy, or that the snapshot was named.
    pub reason: String,
}

/// Signs and creates a mark; returns the bytes of its object, or `None` if there was one already.
pub(in crate::repo) fn create(
    repository: &Repository,
    kind: MarkKind,
    id: &SnapshotId,
    hash: Option<[u8; 32]>,
    note: &ForgetNote,
) -> Result<Option<Vec<u8>>> {
    check_writable(repository.config())?;
    let mark = unsigned(repository, id, hash, note);
    let signed = mark.encode();
    let key = kind.key(id);
    Tombstone::decode(&signed).map_err(Error::malformed(&key))?;
    let signature = match kind {
        MarkKind::Tombstone => repository.sign_keys().sign_tombstone(&signed),
        MarkKind::Protection => repository.sign_keys().sign_protection(&signed),
    };
    let slot = codec::encode(&TombstoneSlot { signed, signature });
    let sealed = repository.seal_single(kind.container(), &slot)?;
    // The reserve may be used, because `forget` is the first step to free space.
    let create = || match repository.store().create(&key, &sealed.bytes) {
        Err(error) if error.kind == ErrorKind::Exists => Ok(false),
        created => Ok(created.map(|()| true)?),
    };
    let is_new = reserve::with_room(repository, create)?;
    Ok(is_new.then_some(sealed.bytes))
}

/// Returns the content of a mark before it is signed.
pub(in crate::repo) fn unsigned(
    repository: &Repository,
    id: &SnapshotId,
    hash: Option<[u8; 32]>,
    note: &ForgetNote,
) -> Tombstone {
    Tombstone {
        snapshot: *id,
        repository: repository.id(),
        hash,
        host: note.host.clone(),
        user: note.user.clone(),
        program: note.program.clone(),
        forgotten: note.now,
        reason: note.reason.clone(),
        extensions: Vec::new(),
        writer: repository.writer(),
    }
}

/// Reads a mark from the store and verifies seal, name, repository and signature; also returns the
/// bytes of its object.
pub(in crate::repo) fn load(
    repository: &Repository,
    kind: MarkKind,
    id: &SnapshotId,
) -> Result<(Tombstone, Vec<u8>)> {
    let len_bytes = repository.store().stat(&kind.key(id))?;
    load_listed(repository, kind, id, len_bytes)
}

/// Loads a mark whose length is known from a listing.
pub(in crate::repo) fn load_listed(
    repository: &Repository,
    kind: MarkKind,
    id: &SnapshotId,
    len_bytes: u64,
) -> Result<(Tombstone, Vec<u8>)> {
    let key = kind.key(id);
    if len_bytes > OBJECT_LEN_MAX_BYTES {
        return Err(Error::WrongContent { object: key.to_string() });
    }
    let bytes = read_whole(repository.store(), &key, len_bytes)?;
    Ok((parse(repository, kind, id, &bytes)?, bytes))
}

/// Opens and verifies the object of a mark.
pub(in crate::repo) fn parse(
    repository: &Repository,
    kind: MarkKind,
    id: &SnapshotId,
    bytes: &[u8],
) -> Result<Tombstone> {
    let key = kind.key(id);
    let plain = repository.open_single(kind.container(), bytes).map_err(Error::damaged(&key))?;
    let slot: TombstoneSlot =
        codec::decode("mark of a snapshot", &plain).map_err(Error::malformed(&key))?;
    let mark = Tombstone::decode(&slot.signed).map_err(Error::malformed(&key))?;
    let verify = match kind {
        MarkKind::Tombstone => signing::verify_tombstone,
        MarkKind::Protection => signing::verify_protection,
    };
    if mark.writer != repository.writer()
        || !repository.verified().is_signed(
            kind.container(),
            Signed { writer: &mark.writer, bytes: &slot.signed, signature: &slot.signature },
            verify,
        )
    {
        return Err(Error::BadSignature { object: key.to_string() });
    }
    if mark.snapshot != *id || mark.repository != repository.id() {
        return Err(Error::WrongContent { object: key.to_string() });
    }
    Ok(mark)
}
