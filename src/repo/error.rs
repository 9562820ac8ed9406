//! What can go wrong with a repository, by what the user can do about it.

use std::path::PathBuf;

use crate::container::ContainerError;
use crate::format::codec::DecodeError;
use crate::id::{ChunkId, SnapshotId};
use crate::store::{ErrorKind, StoreError};

/// A failed repository operation; the cause is in `source()`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no repository at the location.
    #[error("there is no repository at {location}")]
    NoRepository {
        /// Where it was looked for.
        location: String,
        /// Whether this machine has used one there.
        is_known: bool,
    },
    /// The config of a repository is gone, and what is stored in it is not.
    #[error("the repository at {location} has lost its config")]
    ConfigLost {
        /// Where it is.
        location: String,
    },
    /// No config of a repository opens, with the key that opened a slot of it.
    #[error("no config of the repository at {location} can be read")]
    ConfigDamaged {
        /// Where it is.
        location: String,
        /// What is wrong with the newest.
        source: Box<Error>,
    },
    /// Nothing is left in `keys/`.
    #[error("the repository at {location} has lost its keys")]
    KeysLost {
        /// Where it is.
        location: String,
    },
    /// A place holds another repository than the one that is known there.
    #[error(
        "another repository answers at {location}: its fingerprint is {}, not {}",
        grouped(found),
        grouped(known)
    )]
    AnotherRepository {
        /// Where it is.
        location: String,
        /// The start of the fingerprint that is known, in hex.
        known: String,
        /// The fingerprint that was found.
        found: String,
    },
    /// So many key slots, or such dear ones, that not all of them were tried.
    #[error("no key that was tried opens the repository, and {untried} would cost too much to try")]
    TooManyKeys {
        /// How many were not tried.
        untried: usize,
    },
    /// `init` found a repository.
    #[error("there already is a repository at {location}")]
    AlreadyExists {
        /// Where it is.
        location: String,
    },
    /// No key slot opens with the given secret.
    #[error("wrong password or key for the repository at {location}")]
    WrongSecret {
        /// Where it is.
        location: String,
    },
    /// The last key slot must stay.
    #[error("this is the last key of the repository: without it nothing can be read any more")]
    LastKey,
    /// A name given by the user matches nothing.
    #[error("no {what} matches '{text}'")]
    NotFound {
        /// `snapshot`, `key`, `path`.
        what: &'static str,
        /// What was given.
        text: String,
    },
    /// A name given by the user matches more than one thing.
    #[error("'{text}' matches more than one {what}")]
    Ambiguous {
        /// `snapshot`, `key`.
        what: &'static str,
        /// What was given.
        text: String,
    },
    /// The store no longer holds what this machine saw there.
    #[error("repository rollback detected at {location}: {what} is missing")]
    RolledBack {
        /// Where it is.
        location: String,
        /// What is missing.
        what: String,
    },
    /// The store failed.
    #[error("{}", said_of(_0))]
    Store(#[from] StoreError),
    /// None of the packs can be read, although the store answers: what failed is the disk, or what
    /// is in front of it.
    #[error(
        "none of the packs at {location} can be read: the disk or the server has failed, so \
            nothing is treated as lost"
    )]
    NothingReadable {
        /// Where it is.
        location: String,
    },
    /// A container does not open.
    #[error("{object} is damaged")]
    Damaged {
        /// The object.
        object: String,
        /// What is wrong with it.
        #[source]
        source: ContainerError,
    },
    /// A structure inside an authentic container breaks a rule.
    #[error("{object} cannot be understood")]
    Malformed {
        /// The object.
        object: String,
        /// The rule.
        #[source]
        source: DecodeError,
    },
    /// An object's bytes are not those that its name promises.
    #[error("{object} is damaged: its content does not fit its name")]
    WrongContent {
        /// The object.
        object: String,
    },
    /// The index knows no place of a chunk.
    #[error("chunk {} is missing from the repository", id.short())]
    MissingChunk {
        /// The chunk.
        id: ChunkId,
    },
    /// A collector removed a chunk that a backup relied on: it must be stored again from the
    /// source.
    #[error("chunk {} was removed by a prune while the backup relied on it", id.short())]
    Swept {
        /// The chunk.
        id: ChunkId,
    },
    /// Collectors kept removing what a backup relied on.
    #[error("prunes kept removing what the backup relied on, {rounds} times in a row")]
    Contended {
        /// How often it was tried.
        rounds: usize,
    },
    /// A chunk's bytes do not have its id.
    #[error("chunk {} is damaged", id.short())]
    WrongChunk {
        /// The chunk.
        id: ChunkId,
    },
    /// A snapshot's signature does not hold.
    #[error("{object} was not written by a key of this repository")]
    BadSignature {
        /// The object.
        object: String,
    },
    /// The snapshot is not in the trash.
    #[error("snapshot {} is not forgotten", id.short())]
    NotForgotten {
        /// The snapshot.
        id: SnapshotId,
    },
    /// The snapshot is protected from being forgotten.
    #[error("snapshot {} is protected", id.short())]
    Protected {
        /// The snapshot.
        id: SnapshotId,
    },
    /// The snapshot is in the trash.
    #[error("snapshot {} is in the trash", id.short())]
    InTrash {
        /// The snapshot.
        id: SnapshotId,
    },
    /// A forgotten snapshot can not be brought back any more.
    #[error("snapshot {} was forgotten too long ago to be brought back", id.short())]
    Collected {
        /// The snapshot.
        id: SnapshotId,
    },
    /// A collector is deciding about a forgotten snapshot, and the store is none on which it could
    /// be stopped.
    #[error("a prune is deciding about snapshot {}", id.short())]
    Undecided {
        /// The snapshot.
        id: SnapshotId,
    },
    /// A collector found records of another one, on a store on which there must be one.
    #[error("another prune is at work: generation {generation} is not what this one wrote")]
    SecondCollector {
        /// The generation.
        generation: u64,
    },
    /// A record tells collectors to remove what must not be removed.
    #[error("{object} must not be carried out: {why}")]
    Unjustified {
        /// The record.
        object: String,
        /// What it would remove.
        why: String,
    },
    /// A store does not do what every store must.
    #[error("the store at {location} cannot be used: {what}")]
    UnusableStore {
        /// Where it is.
        location: String,
        /// What it does not do.
        what: &'static str,
    },
    /// Locks are to be extended in a store that makes none.
    #[error("the objects at {location} are not locked")]
    NoLocks {
        /// Where it is.
        location: String,
    },
    /// Local state could not be read or written.
    #[error("cannot use the local cache at {path}")]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Others could have put anything into the folder of local state.
    #[error("the cache folder {path} is not safe to use: {why}")]
    ForeignCache {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system gave no randomness.
    #[error("the system gave no random bytes: {0}")]
    Random(getrandom::Error),
    /// Threads could not be started, or one of them broke.
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

    /// Returns whether an object is there and the store cannot read it: its content may be as it
    /// ever was.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Store(error) if error.kind == ErrorKind::Unreadable)
    }

    /// Returns whether the store has no room left.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Store(error) if error.kind == ErrorKind::Full)
    }

    /// Returns whether the store could not be reached, or did not answer: nothing is known about
    /// what was asked.
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

    /// Returns whether an index run is damaged: in the store, or only its local copy.
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

/// Returns what a store's failure means to the repository.
fn said_of(error: &StoreError) -> &'static str {
    match error.kind {
        ErrorKind::Unreadable => "an object of the repository cannot be read",
        _ => "the repository cannot be reached or used",
    }
}

/// Returns the start of a fingerprint as people compare it.
fn grouped(hex: &str) -> String {
    let groups: Vec<&str> =
        (0..hex.len().min(32)).step_by(4).filter_map(|at| hex.get(at..at + 4)).collect();
    groups.join("-")
}

/// The result of repository operations.
pub type Result<T> = std::result::Result<T, Error>;
