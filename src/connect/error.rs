//! Errors of opening a repository, with hints.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::Path;

use super::secret_source::SecretSource;
use crate::repo;
use crate::settings::SettingsError;
use crate::settings::location::LocationError;
use crate::store::StoreError;
use crate::text;

/// Result of opening a repository.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A repository or store could not be opened; the causes are in `source()`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration file is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A URL is wrong.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The repository cannot be opened.
    #[error(transparent)]
    Repository(#[from] repo::Error),
    /// The password or key opens nothing.
    #[error("{source}")]
    WrongSecret {
        /// The repository's error.
        source: repo::Error,
        /// Source of the secret.
        origin: SecretSource,
    },
    /// Anything else.
    #[error(transparent)]
    Other(Box<OtherError>),
}

impl Error {
    /// Makes an [`OtherError`] with this message.
    pub fn new(kind: OtherErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Other(Box::new(OtherError { kind, hint: None, message, source: None }))
    }

    /// Returns the kind of an [`OtherError`].
    pub fn kind(&self) -> Option<OtherErrorKind> {
        match self {
            Self::Other(trouble) => Some(trouble.kind),
            _ => None,
        }
    }

    /// Returns the repository's error, if it is one.
    pub fn repository(&self) -> Option<&repo::Error> {
        match self {
            Self::Repository(source) | Self::WrongSecret { source, .. } => Some(source),
            _ => None,
        }
    }

    /// Returns whether the store could not be reached or did not answer.
    pub fn is_trouble(&self) -> bool {
        use crate::store::ErrorKind::{Unanswered, Unavailable};
        matches!(self, Self::Store(error) if matches!(error.kind, Unavailable | Unanswered))
            || self.repository().is_some_and(repo::Error::is_trouble)
    }

    /// Makes an error of the command line, the environment or the configuration.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(OtherErrorKind::Usage, message)
    }

    /// Makes an error of a file operation: `cannot read`, and the file.
    pub fn file(action: &str, path: &Path, error: io::Error) -> Self {
        Self::new(OtherErrorKind::Failed, format!("cannot {action} {}", text::path(path)))
            .caused_by(error)
    }

    /// Makes the error of an operation that the user stopped.
    pub fn interrupted() -> Self {
        Self::new(OtherErrorKind::Interrupted, "interrupted")
    }

    /// Sets the cause of an [`OtherError`].
    pub fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        if let Self::Other(trouble) = &mut self {
            trouble.source = Some(Box::new(source));
        }
        self
    }

    /// Sets the hint of an [`OtherError`].
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Other(trouble) = &mut self {
            trouble.hint = Some(hint.into());
        }
        self
    }
}

/// Kind of an [`OtherError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherErrorKind {
    /// The command line, the environment or the configuration is wrong.
    Usage,
    /// A file or a command of this machine failed.
    Failed,
    /// A key file holds no key.
    NoSecret,
    /// The user interrupted a question.
    Interrupted,
}

/// An error with its own message and hint.
#[derive(Debug)]
pub struct OtherError {
    /// Kind of error.
    pub kind: OtherErrorKind,
    /// What the user can do, if known.
    pub hint: Option<String>,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl fmt::Display for OtherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for OtherError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
