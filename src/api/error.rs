//! The one error of the front door.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::connect::hints::{hint_of, store_hint};
use crate::connect::{self, OtherErrorKind};
use crate::store::{self, StoreError};
use crate::{backup, browse, repo, restore};

/// The result of an operation.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed operation; the causes are in `source()`.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    hint: Option<String>,
    inner: Box<dyn StdError + Send + Sync>,
}

/// What a caller can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no repository at the place.
    NoRepository,
    /// There is one already.
    AlreadyExists,
    /// No key of the repository opens with the credentials.
    WrongSecret,
    /// The store's credential, or the system, forbids it.
    NotPermitted,
    /// There is no such snapshot, path or name.
    NotFound,
    /// What is stored is damaged or missing.
    Damaged,
    /// The repository is older than this machine remembers it, or another one.
    RolledBack,
    /// The store does not answer.
    Unavailable,
    /// There is no room.
    Full,
    /// An argument makes no sense, a URL or pattern for example.
    InvalidInput,
    /// [`Progress::is_cancelled`](super::Progress::is_cancelled) asked to stop.
    Cancelled,
    /// Anything else.
    Other,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, hint: None, inner: message.into().into() }
    }

    /// Makes the error of a name that nothing has.
    pub(super) fn not_found(message: String) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    fn of(kind: ErrorKind, inner: impl StdError + Send + Sync + 'static) -> Self {
        Self { kind, hint: None, inner: Box::new(inner) }
    }

    fn hint_is(self, hint: Option<impl Into<String>>) -> Self {
        Self { hint: hint.map(Into::into), ..self }
    }

    /// Returns what kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns what the user can do about it, in the words of the command line.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source()
    }
}

fn kind_of_store(error: &StoreError) -> ErrorKind {
    match error.kind {
        store::ErrorKind::NotPermitted => ErrorKind::NotPermitted,
        store::ErrorKind::Unavailable | store::ErrorKind::Unanswered => ErrorKind::Unavailable,
        store::ErrorKind::Full => ErrorKind::Full,
        _ => ErrorKind::Other,
    }
}

fn kind_of(error: &repo::Error) -> ErrorKind {
    match error {
        repo::Error::NoRepository { .. } => ErrorKind::NoRepository,
        repo::Error::AlreadyExists { .. } => ErrorKind::AlreadyExists,
        repo::Error::WrongSecret { .. } | repo::Error::TooManyKeys { .. } => ErrorKind::WrongSecret,
        repo::Error::RolledBack { .. }
        | repo::Error::Unjustified { .. }
        | repo::Error::AnotherRepository { .. } => ErrorKind::RolledBack,
        repo::Error::NotFound { .. } => ErrorKind::NotFound,
        repo::Error::Cancelled => ErrorKind::Cancelled,
        error if error.is_damage() => ErrorKind::Damaged,
        repo::Error::Store(error) => kind_of_store(error),
        _ => ErrorKind::Other,
    }
}

impl From<repo::Error> for Error {
    fn from(error: repo::Error) -> Self {
        let hint = hint_of(&error);
        Self::of(kind_of(&error), error).hint_is(hint)
    }
}

impl From<Arc<repo::Error>> for Error {
    fn from(error: Arc<repo::Error>) -> Self {
        let (kind, hint) = (kind_of(&error), hint_of(&error));
        Self::of(kind, error).hint_is(hint)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let hint = store_hint(&error);
        Self::of(kind_of_store(&error), error).hint_is(hint)
    }
}

impl From<connect::Error> for Error {
    fn from(error: connect::Error) -> Self {
        match error {
            connect::Error::Repository(error) => error.into(),
            connect::Error::WrongSecret { source, .. } => source.into(),
            connect::Error::Store(error) => error.into(),
            connect::Error::Settings(error) => Self::of(ErrorKind::InvalidInput, error),
            connect::Error::Location(error) => {
                let hint = error.hint();
                Self::of(ErrorKind::InvalidInput, error).hint_is(Some(hint))
            }
            connect::Error::Other(error) => {
                let kind = match error.kind {
                    OtherErrorKind::Usage => ErrorKind::InvalidInput,
                    OtherErrorKind::NoSecret => ErrorKind::WrongSecret,
                    OtherErrorKind::Interrupted => ErrorKind::Cancelled,
                    OtherErrorKind::Failed => ErrorKind::Other,
                };
                let hint = error.hint.clone();
                Self::of(kind, *error).hint_is(hint)
            }
        }
    }
}

impl From<backup::Error> for Error {
    fn from(error: backup::Error) -> Self {
        match error {
            backup::Error::Repository(error) => error.into(),
            error @ (backup::Error::NoSource | backup::Error::Pattern(_)) => {
                Self::of(ErrorKind::InvalidInput, error)
            }
            error => Self::of(ErrorKind::Other, error),
        }
    }
}

impl From<browse::Error> for Error {
    fn from(error: browse::Error) -> Self {
        match error {
            browse::Error::Repository(error) => error.into(),
            error @ browse::Error::NoSuchPath { .. } => Self::of(ErrorKind::NotFound, error),
            error @ (browse::Error::NotAFile { .. } | browse::Error::Pattern { .. }) => {
                Self::of(ErrorKind::InvalidInput, error)
            }
            error @ browse::Error::Output { .. } => Self::of(ErrorKind::Other, error),
        }
    }
}

impl From<restore::Error> for Error {
    fn from(error: restore::Error) -> Self {
        let kind = match error {
            restore::Error::Repository(error) => return error.into(),
            restore::Error::NoSuchPath { .. } => ErrorKind::NotFound,
            restore::Error::Pattern(_) | restore::Error::OwnTarget { .. } => {
                ErrorKind::InvalidInput
            }
            restore::Error::Torn { .. } => ErrorKind::Damaged,
            restore::Error::Cancelled => ErrorKind::Cancelled,
            _ => ErrorKind::Other,
        };
        Self::of(kind, error)
    }
}
