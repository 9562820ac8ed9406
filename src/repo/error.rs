//! Errors of repository operations, distinguished by what the user can do.

use std::path::PathBuf;

use crate::container::ContainerError;
use crate::format::codec::DecodeError;
use crate::id::{ChunkId, SnapshotId};
use crate::store::{ErrorKind, StoreError};

/// A failed repository operation; the cause is in `source()`.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each field is what its name says")]
pub enum Error {
    /// There is no repository at the location.
    #[error("there is no repository at {location}")]
    NoRepository {
        location: String,
        /// Whether this machine has used one there.
        is_known: bool,
    },
    /// The config of a repository is gone, but other objects are there.
    #[error("the repository at {location} has lost its config")]
    ConfigLost { location: String },
    /// No config of a repository opens with the keys from its key slot.
    #[error("no config of the repository at {location} can be read")]
    ConfigDamaged {
        location: String,
        /// The fault of the newest config.
        source: Box<Error>,
    },
    /// There is no object in `keys/`.
    #[error("the repository at {location} has lost its keys")]
    KeysLost { location: String },
    /// The repository is not the one that this machine remembers at the place.
    #[error(
        "another repository answers at {location}: its fingerprint is {}, not {}",
        grouped(found),
        grouped(known)
    )]
    AnotherRepository {
        location: String,
        /// The start of the remembered fingerprint, in hex.
        known: String,
        found: String,
    },
    /// Some key slots were not tried, because there are too many or their passwords are too costly
    /// to derive keys from.
    #[error("no key that was tried opens the repository, and {untried} would cost too much to try")]
    TooManyKeys {
        /// Number of key slots that were not tried.
        untried: usize,
    },
    /// `init` found a repository at the location.
    #[error("there already is a repository at {location}")]
    AlreadyExists { location: String },
    /// No key slot opens with the given secret.
    #[error("wrong password or key for the repository at {location}")]
    WrongSecret { location: String },
    /// The last key slot cannot be removed.
    #[error("this is the last key of the repository: without it nothing can be read any more")]
    LastKey,
    /// A name given by the user matches nothing.
    #[error("no {what} matches '{text}'")]
    NotFound {
        /// `snapshot`, `key`, `path`.
        what: &'static str,
        text: String,
    },
    /// A name given by the user matches more than one object.
    #[error("'{text}' matches more than one {what}")]
    Ambiguous {
        /// `snapshot`, `key`.
        what: &'static str,
        text: String,
    },
    /// The store no longer holds what this machine saw there.
    #[error("repository rollback detected at {location}: {what} is missing")]
    RolledBack {
        location: String,
        /// What is missing.
        what: String,
    },
    /// The store failed.
    #[error("{}", said_of(_0))]
    Store(#[from] StoreError),
    /// None of the packs can be read, although the store answers: probably the disk or the server
    /// failed, not the packs.
    #[error(
        "none of the packs at {location} can be read: the disk or the server has failed, so \
            nothing is treated as lost"
    )]
    NothingReadable { location: String },
    /// A container cannot be opened.
    #[error("{object} is damaged")]
    Damaged {
        object: String,
        /// What is wrong with it.
        #[source]
        source: ContainerError,
    },
    /// A structure inside an authentic container breaks a rule.
    #[error("{object} cannot be understood")]
    Malformed {
        object: String,
        #[source]
        source: DecodeError,
    },
    /// An object's content does not match the hash in its name.
    #[error("{object} is damaged: its content does not fit its name")]
    WrongContent { object: String },
    /// The index has no record of a chunk.
    #[error("chunk {} is missing from the repository", id.short())]
    MissingChunk { id: ChunkId },
    /// A collector removed a chunk that a backup relied on; the backup must store it again from the
    /// source.
    #[error("chunk {} was removed by a prune while the backup relied on it", id.short())]
    Swept { id: ChunkId },
    /// Collectors kept removing what a backup relied on.
    #[error("prunes kept removing what the backup relied on, {rounds} times in a row")]
    Contended {
        /// Number of attempts.
        rounds: usize,
    },
    /// A chunk's bytes do not match its id.
    #[error("chunk {} is damaged", id.short())]
    WrongChunk { id: ChunkId },
    /// A signature is not valid.
    #[error("{object} was not written by a key of this repository")]
    BadSignature { object: String },
    /// The snapshot is not in the trash.
    #[error("snapshot {} is not forgotten", id.short())]
    NotForgotten { id: SnapshotId },
    /// The snapshot is protected from being forgotten.
    #[error("snapshot {} is protected", id.short())]
    Protected { id: SnapshotId },
    /// The snapshot is in the trash.
    #[error("snapshot {} is in the trash", id.short())]
    InTrash { id: SnapshotId },
    /// A forgotten snapshot cannot be restored from the trash any more.
    #[error("snapshot {} was forgotten too long ago to be brought back", id.short())]
    Collected { id: SnapshotId },
    /// A collector is deciding about a forgotten snapshot, and on this store it cannot be
    /// cancelled.
    #[error("a prune is deciding about snapshot {}", id.short())]
    Undecided { id: SnapshotId },
    /// A collector found records of another one, on a store that allows only one at a time.
    #[error("another prune is at work: generation {generation} is not what this one wrote")]
    SecondCollector { generation: u64 },
    /// A record tells collectors to remove what must not be removed.
    #[error("{object} must not be carried out: {why}")]
    Unjustified {
        object: String,
        /// Why its verdict is not valid.
        why: String,
    },
    /// A store lacks a property that every store must have.
    #[error("the store at {location} cannot be used: {what}")]
    UnusableStore {
        location: String,
        /// The property.
        what: &'static str,
    },
    /// Object locks are to be extended, but the store has none.
    #[error("the objects at {location} are not locked")]
    NoLocks { location: String },
    /// The local cache cannot be read or written.
    #[error("cannot use the local cache at {path}")]
    Cache {
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The cache directory is writable for other users, who could have put anything into it.
    #[error("the cache folder {path} is not safe to use: {why}")]
    ForeignCache {
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system gave no randomness.
    #[error("the system gave no random bytes: {0}")]
    Random(getrandom::Error),
    /// Threads could not be started, or one of them panicked.
    #[error("cannot run threads: {0}")]
    Threads(String),
    /// The operation was asked to stop.
    #[error("interrupted")]
    Cancelled,
    /// Another thread of the operation failed first; its error is the one to report.
    #[error("stopped because another part failed")]
    Stopped,
}

impl Error {
    /// Returns whether the store said that an object does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Store(error) if error.kind == ErrorKind::NotFound)
    }

    /// Returns whether an object exists but the store cannot read it; its content may be intact.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Store(error) if error.kind == ErrorKind::Unreadable)
    }

    /// Returns whether the store has no room left.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Store(error) if error.kind == ErrorKind::Full)
    }

    /// Returns whether the store could not be reached or did not answer, so that nothing is known
    /// about the object.
    pub fn is_trouble(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError { kind: ErrorKind::Unavailable | ErrorKind::Unanswered, .. })
        )
    }

    /// Returns whether stored data is damaged or missing, so that other data may still be fine.
    pub fn is_damage(&self) -> bool {
        self.is_not_found()
            || self.is_unreadable()
            || matches!(self, Self::Store(error) if error.kind == ErrorKind::Short)
            || matches!(
                self,
                Self::Damaged { .. }
                    | Self::Malformed { .. }
                    | Self::ConfigLost { .. }
                    | Self::ConfigDamaged { .. }
                    | Self::KeysLost { .. }
                    | Self::WrongContent { .. }
                    | Self::MissingChunk { .. }
                    | Self::Swept { .. }
                    | Self::WrongChunk { .. }
                    | Self::BadSignature { .. }
            )
    }

    /// Returns whether an index run is damaged, in the store or only in its local copy.
    pub fn is_of_index(&self) -> bool {
        let of_index = |object: &String| object.starts_with("index/");
        match self {
            Self::Damaged { object, .. }
            | Self::Malformed { object, .. }
            | Self::WrongContent { object } => of_index(object),
            _ => false,
        }
    }

    pub(crate) fn damaged(object: impl ToString) -> impl FnOnce(ContainerError) -> Self {
        move |source| Self::Damaged { object: object.to_string(), source }
    }

    pub(crate) fn malformed(object: impl ToString) -> impl FnOnce(DecodeError) -> Self {
        move |source| Self::Malformed { object: object.to_string(), source }
    }
}

/// Returns the message for a store's failure.
fn said_of(error: &StoreError) -> &'static str {
    match error.kind {
        ErrorKind::Unreadable => "an object of the repository cannot be read",
        _ => "the repository cannot be reached or used",
    }
}

/// Returns the start of a fingerprint in groups of four digits, for people to compare.
fn grouped(hex: &str) -> String {
    let groups: Vec<&str> =
        (0..hex.len().min(32)).step_by(4).filter_map(|at| hex.get(at..at + 4)).collect();
    groups.join("-")
}

/// The result of repository operations.
pub type Result<T> = std::result::Result<T, Error>;
