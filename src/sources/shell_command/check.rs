//! Check of a command that a configuration names.

use std::io;
use std::sync::Arc;

use super::action::{Act, CommandSettings, run};
use super::shell::shell_of;
use crate::monitor::{Monitor, in_words};
use crate::sources::finding::{Finding, Severity};
use crate::sources::runner::{HostRunner, Invocation, Runner};

/// Bytes that the search for a program may answer.
const ANSWER_LEN_MAX_BYTES: usize = 64 << 10;

/// Returns what can be known before the first backup. The command itself is not run.
pub fn check(
    settings: &CommandSettings,
    container: Option<&Arc<dyn Runner>>,
    monitor: &Arc<Monitor>,
) -> Vec<Finding> {
    let place = settings.place();
    let error = |message| Finding::new(Severity::Error, &place, message);
    let act = settings.path().and_then(|_| Act::of(&settings.action, container, monitor));
    match act {
        Err(cause) => vec![error(in_words(&cause))],
        Ok(Act::Run { line, runner }) => {
            let shell = shell_of(runner.as_ref());
            match shell.and_then(|shell| run(&line, shell)) {
                Err(cause) => vec![error(in_words(&cause))],
                Ok(run) => {
                    let message = format!("runs by `{}` on {}", run.program, runner.place());
                    vec![Finding::new(Severity::Note, &place, message)]
                }
            }
        }
        Ok(Act::Pipe { parts, .. }) => {
            let host = HostRunner::new(monitor);
            let missing = parts.iter().filter(|part| is_missing(&host, &part.program));
            let message = |part: &Invocation| {
                format!("there is no program `{}`", crate::text::harmless(&part.program))
            };
            let hint = "install it, or write its whole path";
            missing.map(|part| error(message(part)).hint(hint)).collect()
        }
    }
}

/// Returns whether a program is surely not there: a machine without a shell cannot be asked.
fn is_missing(host: &HostRunner, program: &str) -> bool {
    let question = |line: &str| Invocation {
        program: "sh".to_owned(),
        arguments: ["-c", line, "sh", program].map(str::to_owned).to_vec(),
        ..Invocation::default()
    };
    let ask =
        |line: &str| -> io::Result<Vec<u8>> { host.output(question(line), ANSWER_LEN_MAX_BYTES) };
    ask("command -v \"$1\"").is_err() && ask("true").is_ok()
}
