//! Failures of requests, and their causes.

use std::error::Error;
use std::fmt;

use crate::store::ErrorKind;

/// Longest text of a server that is shown, in characters.
const TEXT_LEN_MAX: usize = 300;

/// Why something could not be done.
#[derive(Debug)]
pub struct S3Failure {
    /// Its kind.
    pub kind: ErrorKind,
    /// Whether the same request may fare better at once, because the server did nothing.
    pub again: Again,
    says: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

/// Whether a request may fare better at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It may not.
    No,
    /// It may, a few times: the server says that it cannot do this, which one of many behind an
    /// address may say by mistake.
    AFewTimes,
    /// It may with other credentials: those that it was made with are over, or were never right.
    Renewed,
}

impl S3Failure {
    /// Makes a failure from what it says.
    pub fn new(kind: ErrorKind, says: impl Into<String>) -> Self {
        Self { kind, again: Again::No, says: says.into(), cause: None }
    }

    /// Says that the same request may fare better at once.
    pub fn again(self, again: Again) -> Self {
        Self { again, ..self }
    }

    /// Adds what caused it: the last of the causes, as those between only repeat that something
    /// failed.
    pub fn because(mut self, error: impl Error) -> Self {
        let cause = innermost(&error).to_string();
        self.cause = (!cause.is_empty()).then(|| one_line(&cause).into());
        self
    }
}

impl fmt::Display for S3Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.says)
    }
}

impl Error for S3Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

/// Returns the last of an error's causes, or itself.
pub fn innermost(error: &dyn Error) -> &dyn Error {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error
}

/// Returns a text of a server for a message of ours.
pub fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(TEXT_LEN_MAX)
        .collect::<String>()
        .trim()
        .to_owned()
}
