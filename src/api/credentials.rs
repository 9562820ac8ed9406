//! Credentials of a repository.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::connect::SecretArgs;

/// A password or a key; erased when dropped.
#[derive(Clone)]
pub struct Credentials {
    pub(super) args: SecretArgs,
    pub(super) password: Option<Zeroizing<String>>,
}

impl Credentials {
    /// A password.
    pub fn password(password: impl Into<String>) -> Self {
        Self { args: SecretArgs::default(), password: Some(Zeroizing::new(password.into())) }
    }

    /// The password on the first line of a file.
    pub fn password_file(path: impl Into<PathBuf>) -> Self {
        let args = SecretArgs { password_file: Some(path.into()), ..SecretArgs::default() };
        Self { args, password: None }
    }

    /// The password that a shell command prints.
    pub fn password_command(command: impl Into<String>) -> Self {
        let args = SecretArgs { password_command: Some(command.into()), ..SecretArgs::default() };
        Self { args, password: None }
    }

    /// A key file or recovery kit.
    pub fn key_file(path: impl Into<PathBuf>) -> Self {
        let args = SecretArgs { key_file: Some(path.into()), ..SecretArgs::default() };
        Self { args, password: None }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { args, password } = self;
        let password = password.as_ref().map(|_| "***");
        f.debug_struct("Credentials").field("args", args).field("password", &password).finish()
    }
}
