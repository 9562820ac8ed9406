//! Errors of configuration files.

use std::io;
use std::path::PathBuf;

/// An error of a configuration file.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file could not be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may write to the file, and root would run what they write.
    #[error("root does not read {}: it holds commands, and {why}", file.display())]
    Untrusted {
        /// The file.
        file: PathBuf,
        /// Who may write to what.
        why: String,
        /// The command that ends it.
        hint: String,
    },
    /// The file has invalid content.
    #[error("{}:{line}: {message}", file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
        /// A suggestion.
        hint: Option<String>,
    },
}

impl SettingsError {
    /// Sets the suggestion of an error of the content.
    pub(super) fn with_hint(mut self, suggestion: Option<String>) -> Self {
        if let Self::Invalid { hint, .. } = &mut self {
            *hint = suggestion;
        }
        self
    }

    /// Returns what the user can do, if it is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Read { .. } => None,
            Self::Untrusted { hint, .. } => Some(hint),
            Self::Invalid { hint, .. } => hint.as_deref(),
        }
    }
}
