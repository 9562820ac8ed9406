//! Exit codes and error messages of commands.

use std::error::Error as StdError;
use std::io;
use std::path::Path;

use super::exit::{Exit, exit_of};
use crate::connect::hints::{hint_of, store_hint};
use crate::connect::{self, OtherErrorKind};
use crate::repo;
use crate::settings::SettingsError;
use crate::settings::location::LocationError;
use crate::store::{ErrorKind, StoreError};
use crate::text;
use crate::ui::journal::Priority;
use crate::ui::output::{OutputError, write_stderr};
use crate::ui::style::Role;
use crate::ui::{Ui, json};
use crate::{backup, browse, jobs, restore};

/// Why a command failed: a chain of causes, an exit code, and one hint.
#[derive(Debug)]
pub(super) struct Failure {
    /// The exit code.
    pub exit: Exit,
    chain: Vec<String>,
    hint: Option<String>,
    /// Whether nothing is printed, because the reader closed the output.
    pub silent: bool,
}

impl Failure {
    /// Makes a failure with this message.
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, chain: vec![message.into()], hint: None, silent: false }
    }

    /// Makes a failure of the command line or configuration.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Makes a failure of a file operation: `cannot read`, and the file.
    pub(super) fn file(action: &str, path: &Path, error: &io::Error) -> Self {
        Self::new(Exit::Error, format!("cannot {action} {}", text::path(path))).caused_by(error)
    }

    /// Makes a failure from an error and its causes.
    pub(super) fn of(exit: Exit, error: &(dyn StdError + 'static)) -> Self {
        Self { exit, chain: vec![error.to_string()], hint: None, silent: false }.with_sources(error)
    }

    /// Makes the failure of a command that the user stopped.
    pub(super) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted")
    }

    /// Adds an error and its causes.
    pub(super) fn caused_by(mut self, error: &(dyn StdError + 'static)) -> Self {
        self.chain.push(error.to_string());
        self.with_sources(error)
    }

    /// Adds causes in words.
    pub(super) fn with_causes(mut self, causes: &[String]) -> Self {
        self.chain.extend_from_slice(causes);
        self
    }

    fn with_sources(mut self, error: &(dyn StdError + 'static)) -> Self {
        let mut next = error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            // Transparent wrappers repeat their source.
            if self.chain.last() != Some(&text) {
                self.chain.push(text);
            }
            next = cause.source();
        }
        self
    }

    /// Sets the hint, unless there is one.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert(hint.into());
        self
    }

    /// Replaces the hint.
    pub(super) fn instead(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Returns the whole chain in one line.
    pub(super) fn text(&self) -> String {
        text::harmless(&self.chain.join(": "))
    }

    /// Returns the hint.
    pub(super) fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Prints the failure on standard error and returns the exit code.
    pub(super) fn report(&self, ui: &Ui) -> Exit {
        if self.silent {
            return self.exit;
        }
        if ui.json_lines {
            let (message, causes) = self.chain.split_first().expect("a failure has a message");
            let line = serde_json::json!({
                "event": "error",
                "message": message,
                "causes": causes,
                "hint": self.hint,
                "exit_code": self.exit as u8,
            });
            write_stderr(&format!("{}\n", json::line(&line)));
            return self.exit;
        }
        let mut lines = String::new();
        for (at, message) in self.chain.iter().enumerate() {
            let (label, role) =
                if at == 0 { ("error:", Role::Error) } else { ("  caused by:", Role::Dim) };
            // It may contain names with control characters. A cause may have several lines, such as
            // the position of a mistake in a pattern; indentation keeps them from looking like
            // lines of our own.
            let message = if at == 0 {
                text::harmless(message)
            } else {
                text::harmless_lines(&message.replace('\t', " ")).replace('\n', "\n      ")
            };
            lines += &format!("{} {message}\n", ui.err_style.paint(role, label));
        }
        if let Some(hint) = &self.hint {
            lines += &format!(
                "  {} {}\n",
                ui.err_style.paint(Role::Good, "hint:"),
                text::harmless(hint)
            );
        }
        ui.write_lines(Priority::Error, &lines);
        self.exit
    }
}

/// Returns the result of a finished command after its output: a closed pipe does not change the
/// exit code.
pub(super) fn ended(exit: Exit, told: Result<(), Failure>) -> Result<Exit, Failure> {
    match told {
        Err(failure) if !failure.silent => Err(failure),
        _ => Ok(exit),
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Self {
        if error.reader_is_gone() {
            // The reader closed the pipe: nothing failed.
            return Self {
                exit: Exit::Done,
                chain: vec![error.to_string()],
                hint: None,
                silent: true,
            };
        }
        Self::of(Exit::Error, &error)
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        let failure = Self::of(Exit::Usage, &error);
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<LocationError> for Failure {
    fn from(error: LocationError) -> Self {
        Self::usage(error.to_string()).hint(error.hint())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit =
            if error.kind == ErrorKind::NotPermitted { Exit::NotPermitted } else { Exit::Error };
        let failure = Self::of(exit, &error);
        match store_hint(&error) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<jobs::Error> for Failure {
    fn from(error: jobs::Error) -> Self {
        match error {
            jobs::Error::Connect(error) => error.into(),
            jobs::Error::Backup(error) => error.into(),
        }
    }
}

impl From<connect::Error> for Failure {
    fn from(error: connect::Error) -> Self {
        let trouble = match error {
            connect::Error::Settings(error) => return error.into(),
            connect::Error::Location(error) => return error.into(),
            connect::Error::Store(error) => return error.into(),
            connect::Error::Repository(error) => return error.into(),
            connect::Error::WrongSecret { source, origin } => {
                let hint = hint_of(&source).unwrap_or_default();
                return Self::of(Exit::WrongSecret, &source)
                    .hint(format!("{}; {hint}", origin.describe()));
            }
            connect::Error::Other(trouble) => trouble,
        };
        let exit = match trouble.kind {
            OtherErrorKind::Usage => Exit::Usage,
            OtherErrorKind::Failed => Exit::Error,
            OtherErrorKind::NoSecret => Exit::WrongSecret,
            OtherErrorKind::Interrupted => Exit::Interrupted,
        };
        let failure = Self::of(exit, &*trouble);
        match trouble.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<repo::Error> for Failure {
    fn from(error: repo::Error) -> Self {
        let failure = Self::of(exit_of(&error), &error);
        match hint_of(&error) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<backup::Error> for Failure {
    fn from(error: backup::Error) -> Self {
        let exit = match &error {
            backup::Error::NoSource | backup::Error::Pattern(_) => Exit::Usage,
            _ => Exit::Error,
        };
        match error {
            backup::Error::Repository(error) => error.into(),
            error @ backup::Error::AllLeftOut => Self::of(exit, &error).hint(
                "`--exclude` leaves out a PATH that it fits, too; `PATH/*` leaves out only \
                    what is in it",
            ),
            error => Self::of(exit, &error),
        }
    }
}

impl From<browse::Error> for Failure {
    fn from(error: browse::Error) -> Self {
        match error {
            browse::Error::Repository(error) => error.into(),
            browse::Error::Output { source, .. } => OutputError::from(source).into(),
            browse::Error::NoSuchPath { .. } => Self::of(Exit::Error, &error)
                .hint("paths are stored absolute; `drumlin ls SNAPSHOT` shows them"),
            browse::Error::NotAFile { .. } => Self::of(Exit::Error, &error),
            browse::Error::Pattern { .. } => Self::of(Exit::Usage, &error),
        }
    }
}

impl From<restore::Error> for Failure {
    fn from(error: restore::Error) -> Self {
        use restore::Error;
        match error {
            Error::Repository(error) => error.into(),
            Error::Cancelled => Self::interrupted(),
            Error::NoSuchPath { .. } => Self::of(Exit::Error, &error)
                .hint("paths are stored absolute; `drumlin ls SNAPSHOT` shows them"),
            Error::Pattern(_) => Self::of(Exit::Usage, &error),
            Error::OwnTarget { .. } => {
                Self::of(Exit::Usage, &error).hint("restore to a folder outside of it")
            }
            Error::Sync { .. } => Self::of(Exit::Error, &error).hint(
                "the disk may be failing: restore to another one, or run it again with \
                    `--verify` to see what is there",
            ),
            Error::Torn { .. } => Self::of(Exit::Damage, &error).hint(
                "leave it out with `--exclude`; `drumlin check --level full` says what else \
                    is damaged",
            ),
            Error::Target { .. }
            | Error::Write { .. }
            | Error::Archive { .. }
            | Error::Threads(_) => Self::of(Exit::Error, &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_told_once_each() {
        let store = StoreError {
            kind: ErrorKind::NotPermitted,
            action: "read",
            location: "/r".into(),
            object: "config/1".into(),
            source: "permission denied".into(),
        };
        let failure = Failure::from(repo::Error::from(store));
        assert_eq!(failure.exit, Exit::NotPermitted);
        assert_eq!(failure.chain.len(), 3, "{:?}", failure.chain);
        assert!(failure.hint.is_some());
    }

    #[test]
    fn every_kind_has_its_exit_code() {
        let location = || "/r".to_owned();
        for (error, exit) in [
            (
                repo::Error::NoRepository { location: location(), is_known: false },
                Exit::NoRepository,
            ),
            (repo::Error::WrongSecret { location: location() }, Exit::WrongSecret),
            (repo::Error::RolledBack { location: location(), what: "x".into() }, Exit::RolledBack),
            (repo::Error::Cancelled, Exit::Interrupted),
            (
                repo::Error::AnotherRepository {
                    location: location(),
                    known: "aa".into(),
                    found: "bb".into(),
                },
                Exit::RolledBack,
            ),
            (
                repo::Error::Unjustified { object: "gc/1.verdict".into(), why: "x".into() },
                Exit::RolledBack,
            ),
            (repo::Error::ConfigLost { location: location() }, Exit::Damage),
            (repo::Error::WrongContent { object: "snapshots/x".into() }, Exit::Damage),
            (repo::Error::LastKey, Exit::Error),
        ] {
            assert_eq!(Failure::from(error).exit, exit);
        }
    }
}
