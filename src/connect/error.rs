//! Errors of connecting, with hints.

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

/// The result of connecting.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed connection; the causes are in `source()`.
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
        /// What the repository says.
        source: repo::Error,
        /// Where the secret came from.
        origin: SecretSource,
    },
    /// Anything else.
    #[error(transparent)]
    Other(Box<OtherError>),
}

impl Error {
    /// Makes a failure of a message.
    pub fn new(kind: OtherErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Other(Box::new(OtherError { kind, hint: None, message, source: None }))
    }

    /// Returns who is to blame for a failure that has words of its own.
    pub fn kind(&self) -> Option<OtherErrorKind> {
        match self {
            Self::Other(trouble) => Some(trouble.kind),
            _ => None,
        }
    }

    /// Makes a failure that the command line, the environment or the configuration is to blame for.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(OtherErrorKind::Usage, message)
    }

    /// Makes a failure of a file operation: `cannot read`, and the file.
    pub fn file(action: &str, path: &Path, error: io::Error) -> Self {
        Self::new(OtherErrorKind::Failed, format!("cannot {action} {}", text::path(path)))
            .caused_by(error)
    }

    /// Makes the failure of an operation that the user stopped.
    pub fn interrupted() -> Self {
        Self::new(OtherErrorKind::Interrupted, "interrupted")
    }

    /// Adds the cause of a failure that has words of its own.
    pub fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        if let Self::Other(trouble) = &mut self {
            trouble.source = Some(Box::new(source));
        }
        self
    }

    /// Sets what the user can do about a failure that has words of its own.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Other(trouble) = &mut self {
            trouble.hint = Some(hint.into());
        }
        self
    }
}

/// Who is to blame for a [`OtherError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherErrorKind {
    /// The command line, the environment or the configuration.
    Usage,
    /// A file or a command of this machine.
    Failed,
    /// A secret that is no secret of any repository.
    NoSecret,
    /// The person who was asked gave up.
    Interrupted,
}

/// A failure with words of its own.
#[derive(Debug)]
pub struct OtherError {
    /// Who is to blame.
    pub kind: OtherErrorKind,
    /// What the user can do.
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
