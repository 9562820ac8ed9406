//! Snapshot: the signed structure in a commit slot.
//!
//! Spec: `format-spec/08-snapshots.md`.

use bincode::{Decode, Encode};

use super::codec::{self, DecodeError};
use super::entry::{Extension, Timestamp, are_readable};
use super::limits;
use super::node::Totals;
use crate::id::{ChunkId, RepositoryId, SnapshotId};

/// Consistency of the source while it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Consistency {
    /// None: files were read one after another.
    Live,
    /// A file-system snapshot was read.
    FileSystemSnapshot,
    /// A database wrote a consistent dump.
    Dump,
}

/// Numbers of one backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct SnapshotStats {
    /// Sums over the snapshot.
    pub totals: Totals,
    /// Files that the parent did not have.
    pub files_new: u64,
    /// Files whose content or metadata differ from the parent's.
    pub files_changed: u64,
    /// Files that are unchanged since the parent.
    pub files_unchanged: u64,
    /// Bytes of file content that were read.
    pub bytes_read: u64,
    /// Chunks stored for the first time.
    pub chunks_new: u64,
    /// Bytes of these chunks before compression.
    pub bytes_new_raw: u64,
    /// Bytes of packs and index runs that were written.
    pub bytes_stored: u64,
}

/// A source file that is missing or incomplete in the snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SnapshotProblem {
    /// Raw bytes of its absolute path.
    pub path: Vec<u8>,
    /// 1 unreadable, 2 vanished, 3 changed while read.
    pub kind: u8,
    /// The cause, for people.
    pub message: String,
}

/// One snapshot in its signed form.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Snapshot {
    /// Its name.
    pub id: SnapshotId,
    /// The repository it was made for.
    pub repository: RepositoryId,
    /// Name of the host.
    pub host: String,
    /// Name of the user who ran the backup.
    pub user: String,
    /// App that it belongs to, empty for none.
    pub app: String,
    /// Counts this writer's snapshots of this host from 1.
    pub sequence: u64,
    /// BLAKE3 of the signed bytes of this host's previous snapshot.
    pub previous: Option<[u8; 32]>,
    /// The snapshot with which the sources were compared.
    pub parent: Option<SnapshotId>,
    /// When the backup began, by the host's clock.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Program and version.
    pub program: String,
    /// Absolute paths that were backed up, raw bytes.
    pub sources: Vec<Vec<u8>>,
    /// Tags, sorted.
    pub tags: Vec<String>,
    /// The tree of `/`.
    pub root: ChunkId,
    /// Consistency of the source.
    pub consistency: Consistency,
    /// Numbers of the backup.
    pub stats: SnapshotStats,
    /// Number of source files with problems.
    pub problem_count: u64,
    /// The first of them.
    pub problems: Vec<SnapshotProblem>,
    /// Extensions, sorted by tag.
    pub extensions: Vec<Extension>,
    /// Ed25519 key of the writer.
    pub writer: [u8; 32],
}

/// A commit slot's content.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum CommitSlot {
    /// A snapshot and its signature (Ed25519 over `"drumlin snapshot" ‖ encoded snapshot`).
    Snapshot {
        /// The encoded [`Snapshot`].
        signed: Vec<u8>,
        /// The signature.
        signature: [u8; 64],
    },
    /// A collector burnt the slot, so this snapshot will never exist.
    Aborted,
}

/// Tag of the extension with the id (16 bytes) of the damaged snapshot that this one replaces.
pub const EXTENSION_INSTEAD_OF: u16 = 1;

impl Snapshot {
    /// Returns the damaged snapshot that this one replaces, if it does.
    ///
    /// Spec: `format-spec/08-snapshots.md`, section 7.
    pub fn instead_of(&self) -> Option<SnapshotId> {
        let extension =
            self.extensions.iter().find(|extension| extension.tag == EXTENSION_INSTEAD_OF)?;
        Some(SnapshotId(extension.bytes.as_slice().try_into().ok()?))
    }

    /// Returns the bytes that are signed.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Parses the signed bytes; the signature is checked by the caller.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let snapshot: Self = codec::decode("snapshot", bytes)?;
        let refuse = |why| Err(DecodeError::new("snapshot", why));
        let listed = snapshot.problems.len();
        let len: usize = snapshot
            .problems
            .iter()
            .map(|problem| problem.path.len() + problem.message.len())
            .sum();
        let fits = listed <= limits::SNAPSHOT_PROBLEMS_MAX
            && len <= limits::SNAPSHOT_PROBLEMS_LEN_MAX_BYTES;
        if !fits || listed as u64 > snapshot.problem_count {
            return refuse("more problems than it may list");
        }
        if snapshot.problems.iter().any(|problem| !(1..=3).contains(&problem.kind)) {
            return refuse("a problem of unknown kind");
        }
        if !are_readable(&snapshot.extensions) {
            return refuse("extensions critical or not sorted");
        }
        if !snapshot.tags.is_sorted_by(|a, b| a < b) {
            return refuse("tags are not sorted");
        }
        if !snapshot.sources.is_sorted_by(|a, b| a < b)
            || !snapshot.sources.iter().all(|source| source.starts_with(b"/"))
        {
            return refuse("sources not sorted, doubled or not absolute");
        }
        if snapshot.sequence == 0 || (snapshot.sequence == 1) != snapshot.previous.is_none() {
            return refuse("its place in the chain is impossible");
        }
        if snapshot.sequence > limits::SEQUENCE_MAX {
            return refuse("its place in the chain is higher than any can be");
        }
        if snapshot.started.nanos > 999_999_999 || snapshot.ended.nanos > 999_999_999 {
            return refuse("nanoseconds out of range");
        }
        Ok(snapshot)
    }
}
