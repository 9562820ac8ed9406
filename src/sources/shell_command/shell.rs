//! Shells: whether the failure of each command of a pipe counts.

use std::io;

use super::quotes::may_have_pipe;
use crate::sources::failure::failed;
use crate::sources::runner::{Invocation, Runner};

/// Asks a shell for one that knows `pipefail`. A subshell tries it, because some shells end when
/// they do not know an option.
const QUESTION: &str = "if command -v bash >/dev/null 2>&1; then echo bash; \
                        elif (set -o pipefail) 2>/dev/null; then echo pipefail; fi";
const ANSWER_LEN_MAX_BYTES: usize = 64;

/// The shell of a place where commands run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shell {
    /// `bash`.
    Bash,
    /// A `sh` that knows `pipefail`, such as that of Alpine Linux.
    Capable,
    /// A `sh` that hides failures in pipes, such as that of Debian.
    Plain,
}

impl Shell {
    /// Returns the program.
    pub(super) fn program(self) -> &'static str {
        if self == Self::Bash { "bash" } else { "sh" }
    }

    /// Returns its arguments to run a line. Fails if it would hide failures of the line.
    pub(super) fn arguments(self, line: &str) -> io::Result<Vec<String>> {
        let arguments = match self {
            Self::Bash | Self::Capable => vec!["-o", "pipefail", "-c", line],
            Self::Plain if may_have_pipe(line) => {
                return Err(io::Error::other(
                    "there is no bash, and this shell hides failures of commands before a `|`: \
                     install bash, or use `pipe`",
                ));
            }
            Self::Plain => vec!["-c", line],
        };
        Ok(arguments.into_iter().map(str::to_owned).collect())
    }
}

/// Returns the shell of the place where `runner` runs programs. Fails if there is none.
pub(super) fn shell_of(runner: &dyn Runner) -> io::Result<Shell> {
    let question = Invocation {
        program: "sh".to_owned(),
        arguments: vec!["-c".to_owned(), QUESTION.to_owned()],
        ..Invocation::default()
    };
    let answer = runner.output(question, ANSWER_LEN_MAX_BYTES).map_err(failed(|| {
        format!("there is no shell on {}: use `pipe` in place of `run`", runner.place())
    }))?;
    Ok(match answer.trim_ascii() {
        b"bash" => Shell::Bash,
        b"pipefail" => Shell::Capable,
        _ => Shell::Plain,
    })
}
