//! Programs of Subversion.

use std::io;
use std::path::Path;

use crate::sources::failure::failed;
use crate::sources::runner::{Invocation, Runner};

/// Longest answer to a question.
const ANSWER_LEN_MAX_BYTES: usize = 64 << 10;

/// Returns a run of one of them. Its language is fixed, and paths may have any characters.
pub(super) fn invocation(program: &str, arguments: &[&str]) -> Invocation {
    Invocation {
        program: program.to_owned(),
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        environment: vec![("LC_ALL".to_owned(), "C.UTF-8".to_owned().into())],
        ..Invocation::default()
    }
}

/// Returns the version of `svnadmin`.
pub(super) fn version(runner: &dyn Runner) -> io::Result<String> {
    ask(runner, "svnadmin", &["--version", "--quiet"])
}

/// Returns the youngest revision of a repository.
pub(super) fn youngest(runner: &dyn Runner, repository: &Path) -> io::Result<u64> {
    let path = argument(repository)?;
    let answer = ask(runner, "svnlook", &["youngest", path])?;
    answer.parse().map_err(|_| {
        let answer = crate::text::harmless(&answer);
        io::Error::other(format!("`svnlook youngest` says `{answer}`, which is no revision"))
    })
}

/// Returns a path as an argument.
pub(super) fn argument(path: &Path) -> io::Result<&str> {
    path.to_str().ok_or_else(|| io::Error::other("its path is not UTF-8: rename the folder"))
}

fn ask(runner: &dyn Runner, program: &str, arguments: &[&str]) -> io::Result<String> {
    let answer = runner.output(invocation(program, arguments), ANSWER_LEN_MAX_BYTES);
    let answer = answer.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let place = runner.place();
            let action =
                || format!("there is no `{program}` on {place}: install the package `subversion`");
            failed(action)(error)
        }
        _ => error,
    })?;
    Ok(String::from_utf8_lossy(&answer).trim().to_owned())
}
