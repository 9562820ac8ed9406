//! Failures of sources: the action that failed, and its cause.

use std::fmt;
use std::io;

/// An action that failed. Its cause is its source, and no part of its message.
#[derive(Debug)]
struct Failure {
    action: String,
    cause: io::Error,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.action)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// Returns what adds the action that failed to an error, for `map_err`; the kind stays.
pub fn failed<A: Into<String>>(action: impl FnOnce() -> A) -> impl FnOnce(io::Error) -> io::Error {
    |cause| io::Error::new(cause.kind(), Failure { action: action().into(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::in_words;

    #[test]
    fn the_action_comes_first_and_the_kind_stays() {
        let cause = io::Error::new(io::ErrorKind::NotFound, "no such file");
        let error = failed(|| "cannot read /x")(cause);
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(error.to_string(), "cannot read /x");
        assert_eq!(in_words(&error), "cannot read /x: no such file");
    }
}
