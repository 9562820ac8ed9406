//! Warnings while a repository is opened and used.

use std::io;
use std::sync::Mutex;

use zeroize::Zeroizing;

use crate::connect::Operator;
use crate::sync::lock;

/// Warnings that are kept.
const WARNINGS_MAX: usize = 1_000;

/// Keeps warnings, and answers no question.
#[derive(Default)]
pub(super) struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    /// Returns the warnings so far.
    pub(super) fn all(&self) -> Vec<String> {
        lock(&self.0).clone()
    }

    fn keep(&self, message: &str) {
        let mut kept = lock(&self.0);
        if kept.len() < WARNINGS_MAX {
            kept.push(message.to_owned());
        }
    }
}

impl Operator for Warnings {
    fn ask_password(&self, _question: &str) -> io::Result<Zeroizing<String>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn detail(&self, _message: &str) {}

    fn warn(&self, message: &str) {
        self.keep(message);
    }

    fn loss(&self, message: &str) {
        self.keep(message);
    }
}
