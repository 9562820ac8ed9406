//! Output for people and scripts: tables, colours, progress, prompts, JSON.

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
use output::{OutputError, write_stderr};
use progress::{ProgressDisplay, ProgressKind};
use style::{Role, Style};

/// How the user wants to be spoken to.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    /// Standard output carries one JSON document.
    pub json: bool,
    /// Standard error carries JSON lines and nothing else.
    pub json_lines: bool,
    /// Nothing is said but errors and what was asked for.
    pub quiet: bool,
    /// How many times more was asked for.
    pub verbose: u8,
    /// How progress is shown.
    pub progress: ProgressKind,
    /// Colours of standard output.
    pub out_style: Style,
    /// Colours of standard error.
    pub err_style: Style,
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

/// Problems that are shown one by one before the rest is only counted, unless `-v` is given.
const PROBLEMS_SHOWN: usize = 20;

/// Whether this process, which has one exit code, has met damage that is not in what its command
/// returns.
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
        }
    }

    /// Begins to show the progress of an operation.
    pub fn progress(&self, verb: &'static str, monitor: &Arc<Monitor>) -> ProgressDisplay {
        ProgressDisplay::start(self.progress, verb, Arc::clone(monitor))
    }

    /// Prints what was done, unless the user wants silence or JSON.
    pub fn say(&self, text: &str) -> Result<(), OutputError> {
        if self.quiet || self.json { Ok(()) } else { self.print(text) }
    }

    /// Prints what was asked for.
    pub fn print(&self, text: &str) -> Result<(), OutputError> {
        output::print(text)
    }

    /// Prints the one JSON document of this run.
    pub fn print_json(&self, document: &impl Serialize) -> Result<(), OutputError> {
        output::print_json(document)
    }

    /// Says something extra that only `-v` wants to know, on standard error.
    pub fn detail(&self, text: &str) {
        if self.verbose > 0 {
            self.note(text);
        }
    }

    /// Says something worth knowing on standard error.
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

    /// Says what could not be read, on standard error; silence does not hide it.
    pub fn loss(&self, text: &str) {
        self.message("warning", Role::Warning, text);
    }

    /// Says what could not be read although it may have been wanted: the command ends with the exit
    /// code for damage then.
    pub fn damage(&self, text: &str) {
        IS_DAMAGED.store(true, Ordering::Relaxed);
        self.loss(text);
    }

    /// Returns whether there was such a thing.
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
            // Clears the rest of a progress line, which may be longer than the message.
            let clear = if self.progress == ProgressKind::Terminal { "\r\x1b[J" } else { "" };
            // It may contain names: a terminal must not obey them.
            let message = text::harmless_lines(message);
            write_stderr(&format!(
                "{clear}{} {message}\n",
                self.err_style.paint(role, &format!("{kind}:"))
            ));
        }
    }

    /// Lists what an operation could not handle.
    pub fn list_problems(&self, monitor: &Monitor) {
        let mut problems = monitor.problems();
        // What is lost is an error: it comes first, and silence does not hide it.
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
