//! Settings of a command, and the programs that they mean.

use std::io;
use std::sync::Arc;

use super::pipeline::Pipeline;
use super::shell::{Shell, shell_of};
use super::words::words;
use crate::monitor::Monitor;
use crate::sources::process::Output;
use crate::sources::runner::{HostRunner, Invocation, Runner};

/// A command whose output is a file of the snapshot.
#[derive(Clone, Debug)]
pub struct CommandSettings {
    /// Section of the configuration, for messages: `app.wiki.command`.
    pub section: String,
    /// Path of its output in the snapshot; it may lack the first slash.
    pub name: String,
    /// The command.
    pub action: Action,
    /// Fewer bytes are a failure; 1 unless the user says otherwise.
    pub size_min_bytes: u64,
}

/// Ways to give a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `run`: a line for the shell.
    Run(String),
    /// `pipe`: programs, each of which reads the output of the one before.
    Pipe(Vec<Part>),
}

/// A program of a pipe, with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A line that is split at blanks. Quotes work as in a shell; nothing else of a shell does, and
    /// is refused.
    Line(String),
    /// The words themselves.
    Words(Vec<String>),
}

impl CommandSettings {
    /// Returns the section and the key, for messages.
    pub(super) fn place(&self) -> String {
        let key = match self.action {
            Action::Run(_) => "run",
            Action::Pipe(_) => "pipe",
        };
        format!("[[{}]] with name `{}`, key `{key}`", self.section, self.name)
    }

    /// Returns the path of the output in the snapshot.
    pub(super) fn path(&self) -> io::Result<String> {
        let name = self.name.trim_start_matches('/');
        let mut parts = name.split('/');
        let is_path = parts.all(|part| !matches!(part, "" | "." | "..")) && !name.contains('\0');
        let message = match is_path {
            true if name == "@app" || name.starts_with("@app/") => {
                "`/@app` is for dumps of databases: choose another `name`"
            }
            true => return Ok(format!("/{name}")),
            false => "`name` must be a path in the snapshot, such as `dumps/db.json`",
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }
}

/// A command that can be started.
pub(super) enum Act {
    Run { line: String, runner: Arc<dyn Runner> },
    Pipe { parts: Vec<Invocation>, monitor: Arc<Monitor> },
}

impl Act {
    /// Returns what an action means; `container` is where `run` runs instead of this host.
    pub(super) fn of(
        action: &Action,
        container: Option<&Arc<dyn Runner>>,
        monitor: &Arc<Monitor>,
    ) -> io::Result<Self> {
        let refuse = |message: String| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        match action {
            Action::Run(line) if line.trim().is_empty() => refuse("it is empty".to_owned()),
            Action::Run(line) if line.contains('\0') => refuse("it has a NUL".to_owned()),
            Action::Run(line) => {
                let host = || Arc::new(HostRunner::new(monitor)) as Arc<dyn Runner>;
                let runner = container.cloned().unwrap_or_else(host);
                Ok(Self::Run { line: line.clone(), runner })
            }
            Action::Pipe(_) if container.is_some() => {
                refuse("a pipe runs on this host: use `run`, or `docker exec` in a part".to_owned())
            }
            Action::Pipe(parts) if parts.is_empty() => refuse("it has no part".to_owned()),
            Action::Pipe(parts) => {
                let numbered = parts.iter().enumerate();
                let parts = numbered
                    .map(|(at, part)| part.invocation(at + 1))
                    .collect::<io::Result<_>>()?;
                Ok(Self::Pipe { parts, monitor: Arc::clone(monitor) })
            }
        }
    }

    /// Starts it.
    pub(super) fn start(&self) -> io::Result<Box<dyn Output>> {
        match self {
            Self::Run { line, runner } => {
                runner.start(self::run(line, shell_of(runner.as_ref())?)?)
            }
            Self::Pipe { parts, monitor } => Ok(Box::new(Pipeline::start(parts, monitor)?)),
        }
    }
}

/// Returns a line to be run by a shell.
pub(super) fn run(line: &str, shell: Shell) -> io::Result<Invocation> {
    Ok(Invocation {
        program: shell.program().to_owned(),
        arguments: shell.arguments(line)?,
        ..Invocation::default()
    })
}

impl Part {
    fn invocation(&self, at: usize) -> io::Result<Invocation> {
        let words = match self {
            Self::Line(line) => words(line),
            Self::Words(words) if words.iter().any(|word| word.contains('\0')) => {
                Err("it has a NUL".to_owned())
            }
            Self::Words(words) => Ok(words.clone()),
        };
        let split = words.and_then(|words| match words.split_first() {
            Some((program, _)) if program.is_empty() => Err("its program has no name".to_owned()),
            Some((program, arguments)) => Ok((program.clone(), arguments.to_vec())),
            None => Err("it has no words".to_owned()),
        });
        let (program, arguments) = split.map_err(|why| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("part {at}: {why}"))
        })?;
        Ok(Invocation { program, arguments, ..Invocation::default() })
    }
}
