//! Child processes: commands of this program in process groups of their own.
//!
//! A run that leaks, hangs or is killed is not the end of what started it, and its memory is given
//! back. The group keeps a terminal's Ctrl-C away: with the signal that is passed on it would be
//! the second one, which ends a run at once.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process_group};

use super::failure::Failure;
use super::global::Global;
use crate::sync::lock;

/// Process groups of the children that have not ended.
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Variables by which the service manager speaks with its own child, and not with those below.
const OF_SERVICE: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// Sends a signal to all children.
pub(super) fn signal_all(signal: Signal) {
    for group in groups().iter() {
        let _ = kill_process_group(*group, signal);
    }
}

fn groups() -> MutexGuard<'static, Vec<Pid>> {
    lock(&GROUPS)
}

/// Starts children with the same program and the same global options.
pub(super) struct Starter {
    program: PathBuf,
    options: Vec<OsString>,
}

/// Destination of what a child prints as its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Results {
    /// It is kept, for the caller.
    Kept,
    /// Standard error, where all else goes.
    Shown,
}

/// A child process.
pub(super) struct Process {
    child: Child,
    results: Option<JoinHandle<Vec<u8>>>,
}

/// The end of a child.
#[derive(Debug)]
pub(super) struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// Its results, if they were kept.
    pub results: Vec<u8>,
}

impl Starter {
    /// Prepares for children that open repositories as this process does.
    ///
    /// Fails if the system does not tell where the program is.
    pub(super) fn new(global: &Global) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| {
            Failure::new(super::exit::Exit::Error, "cannot find the program itself")
                .caused_by(&error)
        })?;
        let mut options = global.for_child();
        // Several of them would write over each other.
        options.push("--no-progress".into());
        Ok(Self { program, options })
    }

    /// Starts a command, without standard input.
    pub(super) fn start(&self, words: &[OsString], results: Results) -> io::Result<Process> {
        let mut command = Command::new(&self.program);
        // A command that names its repository is not about the one of this process.
        let is_repo = |word: &&OsString| word.as_encoded_bytes().starts_with(b"--repo=");
        let names_repo = words.iter().any(|word| is_repo(&word));
        let options = self.options.iter().filter(|option| !names_repo || !is_repo(option));
        command.args(options).args(words).stdin(Stdio::null()).process_group(0);
        for name in OF_SERVICE {
            command.env_remove(name);
        }
        match results {
            Results::Kept => command.stdout(Stdio::piped()),
            Results::Shown => command.stdout(io::stderr().as_fd().try_clone_to_owned()?),
        };
        let mut child = command.spawn()?;
        groups().push(Pid::from_child(&child));
        let results = child.stdout.take().map(|mut output| {
            std::thread::spawn(move || {
                let mut kept = Vec::new();
                // What was read before an error is not a whole document: its reader notices.
                let _ = output.read_to_end(&mut kept);
                kept
            })
        });
        Ok(Process { child, results })
    }
}

impl Process {
    /// Returns how it ended, if it has; its process id is free from then on.
    pub(super) fn ended(&mut self) -> io::Result<Option<Ended>> {
        let mut groups = groups();
        let Some(status) = self.child.try_wait()? else { return Ok(None) };
        let ended = Pid::from_child(&self.child);
        groups.retain(|group| *group != ended);
        drop(groups);
        let results = self.results.take().and_then(|results| results.join().ok());
        Ok(Some(Ended { status, results: results.unwrap_or_default() }))
    }

    /// Returns its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to it, unless it has ended.
    pub(super) fn signal(&self, signal: Signal) {
        let own = Pid::from_child(&self.child);
        if groups().contains(&own) {
            let _ = kill_process_group(own, signal);
        }
    }
}
