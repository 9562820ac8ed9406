//! Output for people and scripts: tables, colours, progress, prompts, JSON.

pub mod event_log;
pub mod journal;
pub mod json;
pub mod output;
pub mod progress;
pub mod prompt;
pub mod style;
pub mod table;

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use zeroize::Zeroizing;

use crate::connect::Operator;
use crate::monitor::{Monitor, ProblemKind};
use crate::settings::environment::Environment;
use crate::text;
use journal::Priority;
use output::{OutputError, write_stderr};
use progress::{ProgressDisplay, ProgressKind};
use style::{Role, Style};

/// Output settings and functions.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    /// Standard output carries one JSON document.
    pub json: bool,
    /// Standard error carries JSON lines and nothing else.
    pub json_lines: bool,
    /// Only errors, losses and requested output.
    pub quiet: bool,
    /// Number of `-v`.
    pub verbose: u8,
    /// How progress is shown.
    pub progress: ProgressKind,
    /// Colours of standard output.
    pub out_style: Style,
    /// Colours of standard error.
    pub err_style: Style,
    /// Whether systemd's journal reads standard error.
    pub is_journal: bool,
}

/// The global options that concern output.
#[derive(Clone, Copy, Debug, Default)]
pub struct UiOptions {
    /// `--json`.
    pub json: bool,
    /// `--json-progress`.
    pub json_progress: bool,
    /// `--quiet`.
    pub quiet: bool,
    /// `--no-progress`.
    pub no_progress: bool,
    /// `-v`, counted.
    pub verbose: u8,
}

/// Problems that are listed; further ones are only counted, unless `-v` is given.
const PROBLEMS_SHOWN: usize = 20;

/// Whether damage was reported that the command's result does not include; it changes the exit
/// code.
static IS_DAMAGED: AtomicBool = AtomicBool::new(false);

impl Operator for Ui {
    fn ask_password(&self, question: &str) -> io::Result<Zeroizing<String>> {
        prompt::ask_password(question)
    }

    fn detail(&self, message: &str) {
        Self::detail(self, message);
    }

    fn warn(&self, message: &str) {
        Self::warn(self, message);
    }

    fn loss(&self, message: &str) {
        Self::loss(self, message);
    }
}

impl Ui {
    /// Decides about colours and progress.
    pub fn new(options: UiOptions, env: &Environment) -> Self {
        let dumb =
            env.get("NO_COLOR").is_some() || env.get("TERM").is_some_and(|term| term == "dumb");
        let on_terminal = io::stderr().is_terminal();
        let progress = match options {
            UiOptions { json_progress: true, .. } => ProgressKind::Json,
            UiOptions { no_progress: true, .. } | UiOptions { quiet: true, .. } => {
                ProgressKind::None
            }
            _ if on_terminal && env.get("TERM").is_none_or(|term| term != "dumb") => {
                ProgressKind::Terminal
            }
            _ => ProgressKind::None,
        };
        Self {
            json: options.json,
            json_lines: options.json_progress,
            quiet: options.quiet,
            verbose: options.verbose,
            progress,
            out_style: Style { coloured: !dumb && !options.json && io::stdout().is_terminal() },
            err_style: Style { coloured: !dumb && on_terminal },
            is_journal: journal::is_stderr(env),
        }
    }

    /// Begins to show the progress of an operation.
    pub fn progress(&self, verb: &'static str, monitor: &Arc<Monitor>) -> ProgressDisplay {
        ProgressDisplay::start(self.progress, verb, Arc::clone(monitor))
    }

    /// Prints a result, unless `--quiet` or `--json` is given.
    pub fn say(&self, text: &str) -> Result<(), OutputError> {
        if self.quiet || self.json { Ok(()) } else { self.print(text) }
    }

    /// Prints requested output.
    pub fn print(&self, text: &str) -> Result<(), OutputError> {
        output::print(text)
    }

    /// Prints the one JSON document of this run.
    pub fn print_json(&self, document: &impl Serialize) -> Result<(), OutputError> {
        output::print_json(document)
    }

    /// Prints a detail on standard error, only with `-v`.
    pub fn detail(&self, text: &str) {
        if self.verbose > 0 {
            self.note(text);
        }
    }

    /// Prints a note on standard error.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.message("note", Role::Dim, text);
        }
    }

    /// Warns on standard error.
    pub fn warn(&self, text: &str) {
        if !self.quiet {
            self.message("warning", Role::Warning, text);
        }
    }

    /// Prints a warning of a loss on standard error, even with `--quiet`.
    pub fn loss(&self, text: &str) {
        self.message("warning", Role::Warning, text);
    }

    /// Prints a warning of damage that may affect the result: the command ends with the exit code
    /// for damage.
    pub fn damage(&self, text: &str) {
        IS_DAMAGED.store(true, Ordering::Relaxed);
        self.loss(text);
    }

    /// Returns whether [`damage`](Self::damage) was called.
    pub fn has_told_damage(&self) -> bool {
        IS_DAMAGED.load(Ordering::Relaxed)
    }

    fn message(&self, kind: &'static str, role: Role, message: &str) {
        if self.json_lines {
            write_stderr(&format!(
                "{}\n",
                json::line(&serde_json::json!({ "event": kind, "message": message }))
            ));
        } else {
            // Clears the progress line, which may be longer than the message.
            let clear = if self.progress == ProgressKind::Terminal { "\r\x1b[J" } else { "" };
            // It may contain names with control characters.
            let message = text::harmless_lines(message);
            let label = self.err_style.paint(role, &format!("{kind}:"));
            let priority = match role {
                Role::Warning => Priority::Warning,
                _ => Priority::Info,
            };
            self.write_lines(priority, &format!("{clear}{label} {message}\n"));
        }
    }

    /// Writes lines to standard error, with their priority if the journal reads it.
    pub fn write_lines(&self, priority: Priority, lines: &str) {
        match self.is_journal {
            true => write_stderr(&journal::with_priority(priority, lines)),
            false => write_stderr(lines),
        }
    }

    /// Lists the problems of an operation.
    pub fn list_problems(&self, monitor: &Monitor) {
        let mut problems = monitor.problems();
        // Losses come first, and `--quiet` does not hide them.
        problems.sort_by_key(|problem| !problem.kind.is_loss());
        let mut all = monitor.problem_count();
        if self.quiet {
            problems.retain(|problem| problem.kind.is_loss());
            all = monitor.loss_count();
        }
        let shown =
            if self.verbose > 0 || self.json_lines { problems.len() } else { PROBLEMS_SHOWN };
        for problem in problems.iter().take(shown) {
            let place = if problem.path.is_empty() {
                String::new()
            } else {
                format!("{}: ", text::printable(&problem.path))
            };
            let line = format!("{place}{}", text::harmless(&problem.message));
            match problem.kind {
                ProblemKind::Notice => self.note(&line),
                kind => self.message("warning", Role::Warning, &format!("{line} ({kind})")),
            }
        }
        let hidden = all.saturating_sub(shown.min(problems.len()) as u64);
        if hidden > 0 {
            let more = if self.verbose > 0 { "" } else { "; -v shows them" };
            self.message(
                "warning",
                Role::Warning,
                &format!("and {} more{more}", text::count(hidden)),
            );
        }
    }
}
