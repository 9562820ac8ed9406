//! Source text of a configuration file, for line numbers, variables and relative paths.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::environment::Environment;
use super::error::SettingsError;

/// The source text of a table, for line numbers, variables and relative paths.
pub struct SettingsText<'a> {
    /// The file.
    pub file: PathBuf,
    /// Its text.
    pub text: &'a str,
    /// Variables for `${NAME}` and `~/`.
    pub env: &'a Environment,
    /// The paths that the value at a byte came to, for `config show`.
    paths: RefCell<BTreeMap<usize, Vec<PathBuf>>>,
}

impl<'a> SettingsText<'a> {
    /// Makes the source of `file`, which must be absolute.
    pub fn new(file: PathBuf, text: &'a str, env: &'a Environment) -> Self {
        Self { file, text, env, paths: RefCell::default() }
    }

    /// Returns the line of a byte, from 1.
    pub fn line(&self, at: usize) -> usize {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    /// Returns a text with its variables replaced; `None` if nothing is left because a variable
    /// that is not set has an empty default: `${NAME:-}`.
    ///
    /// Fails as [`Environment::expand`], and if the text is empty otherwise.
    pub fn expand(&self, text: &str) -> Result<Option<String>, String> {
        let expanded = self.env.expand(text)?;
        match expanded.is_empty() {
            true if text.contains(":-}") => Ok(None),
            true => Err("is empty".to_owned()),
            false => Ok(Some(expanded)),
        }
    }

    /// Notes the paths that the value at a byte came to.
    pub(super) fn note_paths(&self, at: usize, paths: &[PathBuf]) {
        self.paths.borrow_mut().insert(at, paths.to_vec());
    }

    /// Returns the paths that the value at a byte came to, if it was read as one.
    pub(super) fn paths_at(&self, at: usize) -> Option<Vec<PathBuf>> {
        self.paths.borrow().get(&at).cloned()
    }

    /// Makes an error about the byte at `at`.
    pub fn error(&self, at: usize, message: impl Into<String>) -> SettingsError {
        SettingsError::Invalid {
            file: self.file.clone(),
            line: self.line(at),
            message: message.into(),
            hint: None,
        }
    }
}
