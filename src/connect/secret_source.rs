//! Sources of the password or key of a repository.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::text;

/// Password from the caller of the library; its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct GivenPassword(pub Zeroizing<String>);

impl fmt::Debug for GivenPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GivenPassword(***)")
    }
}

/// Source of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file that holds the password.
    PasswordFile(PathBuf),
    /// A command that prints the password.
    PasswordCommand(String),
    /// `DRUMLIN_PASSWORD`.
    Environment,
    /// A key file or recovery kit.
    KeyFile(PathBuf),
    /// The terminal.
    Prompt,
    /// The caller of the library.
    Given(GivenPassword),
}

impl SecretSource {
    /// Describes the source, for the hint about a wrong secret.
    pub fn describe(&self) -> String {
        match self {
            Self::PasswordFile(path) => format!("the password was read from {}", text::path(path)),
            Self::PasswordCommand(_) => "the password came from the password command".to_owned(),
            Self::Environment => "the password was in DRUMLIN_PASSWORD".to_owned(),
            Self::KeyFile(path) => format!("the key was read from {}", text::path(path)),
            Self::Prompt => "the password was typed".to_owned(),
            Self::Given(_) => "the password came from the caller".to_owned(),
        }
    }
}

/// Values of `--password-file`, `--password-command` and `--key-file`, or the password that the
/// library's caller gives; at most one is set.
#[derive(Clone, Debug, Default)]
pub struct SecretArgs {
    /// `--password-file`.
    pub password_file: Option<PathBuf>,
    /// `--password-command`.
    pub password_command: Option<String>,
    /// `--key-file`.
    pub key_file: Option<PathBuf>,
    /// A password that the caller has.
    pub password: Option<GivenPassword>,
}

impl SecretArgs {
    /// Returns the source that is set.
    pub fn origin(&self) -> Option<SecretSource> {
        let file = self.password_file.clone().map(SecretSource::PasswordFile);
        file.or_else(|| self.password_command.clone().map(SecretSource::PasswordCommand))
            .or_else(|| self.key_file.clone().map(SecretSource::KeyFile))
            .or_else(|| self.password.clone().map(SecretSource::Given))
    }
}
