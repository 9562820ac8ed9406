//! Failures of requests, and their causes.

use std::error::Error;
use std::fmt;

use crate::store::ErrorKind;

/// Longest server text that is shown, in characters.
const TEXT_LEN_MAX: usize = 300;

/// A failed request.
#[derive(Debug)]
pub(super) struct S3Failure {
    /// Its kind.
    pub kind: ErrorKind,
    /// Whether the same request may succeed at once, because the server did nothing.
    pub again: Again,
    says: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

/// Whether a request is worth repeating at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It is not.
    No,
    /// A few times: one of several servers of an address may say by mistake that it cannot do this.
    AFewTimes,
    /// With other credentials: those of the request have expired, or were never right.
    Renewed,
}

impl S3Failure {
    /// Makes a failure with this message.
    pub(super) fn new(kind: ErrorKind, says: impl Into<String>) -> Self {
        Self { kind, again: Again::No, says: says.into(), cause: None }
    }

    /// Sets whether the request is worth repeating at once.
    pub(super) fn again(self, again: Again) -> Self {
        Self { again, ..self }
    }

    /// Adds the innermost cause: those between only repeat that something failed.
    pub(super) fn because(mut self, error: impl Error) -> Self {
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
pub(super) fn innermost(error: &dyn Error) -> &dyn Error {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error
}

/// Returns a server's text as one short line.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(TEXT_LEN_MAX)
        .collect::<String>()
        .trim()
        .to_owned()
}
