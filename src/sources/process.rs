//! Programs whose output is read, run in process groups of their own.
//!
//! A dump is good only if its program says so, so the end of the output is not the end: `finish`
//! asks for the exit status. Secrets travel by pipes and by the environment, never as arguments or
//! files. A program that is dropped before its end is stopped with all its children.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process_group};

use super::program_lines::ProgramLines;
use crate::monitor::Monitor;
use crate::os::shell::{SECRETS, shell};
use crate::sync::lock;

/// Interval at which a waiting reader checks for cancellation.
const WAIT: Duration = Duration::from_millis(100);
/// Time for a program to end after `SIGTERM`.
const GRACE: Duration = Duration::from_millis(300);
/// Most bytes of a secret: so many fit into an empty pipe on every system.
const SECRET_LEN_MAX_BYTES: usize = 4 << 10;
/// Bytes of standard error that are kept for the message of a failure.
const LAST_WORDS_LEN_BYTES: usize = 4 << 10;
/// Time for the last words of a program that succeeded: its children may keep its errors open.
const WORDS_GRACE: Duration = Duration::from_secs(1);

/// Process groups of the programs that have not ended.
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Kills all running programs and their children at once.
pub fn kill_all() {
    for group in groups().iter() {
        let _ = kill_process_group(*group, Signal::KILL);
    }
}

fn groups() -> MutexGuard<'static, Vec<Pid>> {
    lock(&GROUPS)
}

/// The output of a program that runs. Dropping it stops the program.
pub trait Output: Read + Send {
    /// Waits for the program's end. Fails, with its last words, unless it succeeded.
    fn finish(&mut self) -> io::Result<()>;

    /// Returns the flag that makes reading fail soon.
    fn stop_flag(&self) -> Arc<AtomicBool>;
}

impl Output for Box<dyn Output> {
    fn finish(&mut self) -> io::Result<()> {
        (**self).finish()
    }

    fn stop_flag(&self) -> Arc<AtomicBool> {
        (**self).stop_flag()
    }
}

/// Reads the output of a program to its end.
///
/// Fails if the program fails, or if there are more than `len_max` bytes.
pub fn read_output(mut running: impl Output, program: &str, len_max: usize) -> io::Result<Vec<u8>> {
    let mut output = Vec::new();
    (&mut running).take(len_max as u64 + 1).read_to_end(&mut output)?;
    if output.len() > len_max {
        return Err(io::Error::other(format!("{program} wrote more than {len_max} bytes")));
    }
    running.finish().map(|()| output)
}

/// A program to run, without the secrets of repositories in its environment.
pub struct Program {
    command: Command,
    /// For messages.
    shown: String,
    /// Ends of pipes that it inherits.
    inherited: Vec<OwnedFd>,
    keeps_errors: bool,
}

impl Program {
    /// Describes a run of the program at `path`, or found by this name.
    pub fn new(path: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(path.as_ref());
        for name in SECRETS {
            command.env_remove(name);
        }
        let shown = path.as_ref().to_string_lossy().into_owned();
        Self { command, shown, inherited: Vec::new(), keeps_errors: true }
    }

    /// Describes a run of a command line by the shell. What it writes to standard error goes where
    /// that of this process goes.
    pub fn shell(line: &str, shown: &str) -> Self {
        let command = shell(line);
        Self { command, shown: shown.to_owned(), inherited: Vec::new(), keeps_errors: false }
    }

    /// Keeps the end of standard error for the message of a failure, instead of passing it on.
    pub fn keep_errors(mut self) -> Self {
        self.keeps_errors = true;
        self
    }

    /// Adds an argument. Everybody on the host can read it.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments. Everybody on the host can read them.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets a variable, which only its owner and root can read.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Passes a secret by a pipe; returns the path at which the program finds it, once.
    ///
    /// Fails if the secret has more than 4 KiB.
    pub fn pass_secret(&mut self, secret: &[u8]) -> io::Result<String> {
        if secret.len() > SECRET_LEN_MAX_BYTES {
            return Err(io::Error::other("a secret is longer than 4 KiB"));
        }
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        std::fs::File::from(writer).write_all(secret)?;
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        self.inherited.push(reader);
        Ok(path)
    }

    /// Starts it, without standard input.
    pub fn start(mut self, monitor: &Arc<Monitor>) -> io::Result<Running> {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped());
        if self.keeps_errors {
            self.command.stderr(Stdio::piped());
        }
        let inherited = std::mem::take(&mut self.inherited);
        let prepare = move || {
            // A new session, and so a new process group: its children can be stopped with it, and a
            // prompt at the terminal fails at once instead of stopping the process silently.
            rustix::process::setsid()?;
            for pipe in &inherited {
                fcntl_setfd(pipe, FdFlags::empty())?;
            }
            Ok(())
        };
        // SAFETY: between fork and exec only system calls are made, and no memory is allocated.
        unsafe { self.command.pre_exec(prepare) };
        let mut child = self.command.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("cannot run {}: {error}", self.shown))
        })?;
        groups().push(Pid::from_child(&child));
        let output = child.stdout.take().expect("standard output is piped");
        // A command line may hold what is nobody's business: the name of the program is enough.
        let name = self.command.get_program().to_string_lossy().into_owned();
        let lines = ProgramLines::of(&name, monitor);
        let errors = child.stderr.take().map(|errors| std::thread::spawn(|| end_of(errors, lines)));
        let (shown, monitor) = (self.shown, Arc::clone(monitor));
        Ok(Running { name, shown, child, output, errors, monitor, stop: Arc::default() })
    }

    /// Runs it to its end, and returns its output of at most `len_max` bytes.
    ///
    /// Fails if it fails, or if there is more.
    pub fn output(self, monitor: &Arc<Monitor>, len_max: usize) -> io::Result<Vec<u8>> {
        let shown = self.shown.clone();
        read_output(self.start(monitor)?, &shown, len_max)
    }
}

/// The failure of a program that ran.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct ProgramFailure {
    code: Option<i32>,
    message: String,
}

/// Makes the failure of a program that ran elsewhere; `code` is its exit code, if it has one.
pub(super) fn program_failure(
    kind: io::ErrorKind,
    code: Option<i32>,
    message: String,
) -> io::Error {
    io::Error::new(kind, ProgramFailure { code, message })
}

/// Returns the exit code of a program whose failure this error is; `None` for other errors, and if
/// a signal ended it.
pub fn exit_code(error: &io::Error) -> Option<i32> {
    error.get_ref()?.downcast_ref::<ProgramFailure>()?.code
}

/// Returns whether a signal ended the program whose failure this error is: the system, which had
/// no memory, or a person.
pub fn was_killed(error: &io::Error) -> bool {
    let failure = error.get_ref().and_then(|error| error.downcast_ref::<ProgramFailure>());
    failure.is_some_and(|failure| failure.code.is_none())
}

/// A program that runs; reading yields its output, and fails if the backup is cancelled.
///
/// Dropping it stops the program and its children, unless it has ended.
pub struct Running {
    /// Its program, as it was called.
    name: String,
    shown: String,
    child: Child,
    output: ChildStdout,
    errors: Option<JoinHandle<String>>,
    monitor: Arc<Monitor>,
    stop: Arc<AtomicBool>,
}

impl Running {
    /// Passes what it prints on as lines of a program, to the end of its output.
    pub fn pass_on(&mut self) -> io::Result<()> {
        let mut lines = ProgramLines::of(&self.name, &self.monitor);
        let mut buffer = [0; 4 << 10];
        loop {
            match self.read(&mut buffer)? {
                0 => return Ok(()),
                len => lines.push(&buffer[..len]),
            }
        }
    }

    /// Waits for its end. Fails, with its last words, unless it succeeded.
    pub fn finish(&mut self) -> io::Result<()> {
        let status = loop {
            if let Some(status) = self.ended()? {
                break status;
            }
            self.fail_if_stopped()?;
            std::thread::sleep(Duration::from_millis(5));
        };
        if status.success() {
            self.await_words();
            return Ok(());
        }
        let words = self.errors.take().and_then(|errors| errors.join().ok()).unwrap_or_default();
        let words = words.trim();
        let end = if words.is_empty() { String::new() } else { format!(": {words}") };
        let message = format!("`{}` failed: {status}{end}", self.shown);
        Err(io::Error::other(ProgramFailure { code: status.code(), message }))
    }

    /// Waits a moment until all that the program wrote to standard error was passed on.
    fn await_words(&self) {
        let asked = Instant::now();
        let is_open = || self.errors.as_ref().is_some_and(|errors| !errors.is_finished());
        while is_open() && asked.elapsed() < WORDS_GRACE {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Returns the exit status, if the program has ended; its process id is free from then on.
    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let mut groups = groups();
        let status = self.child.try_wait()?;
        if status.is_some() {
            let ended = Pid::from_child(&self.child);
            groups.retain(|group| *group != ended);
        }
        Ok(status)
    }

    fn fail_if_stopped(&self) -> io::Result<()> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(io::Error::other("interrupted")),
            false => fail_if_cancelled(&self.monitor),
        }
    }
}

impl Output for Running {
    fn finish(&mut self) -> io::Result<()> {
        Running::finish(self)
    }

    fn stop_flag(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }
}

impl Read for Running {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        wait_readable(&self.output, || self.fail_if_stopped())?;
        self.output.read(buffer)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.child);
        let asked = Instant::now();
        let mut signal = Signal::TERM;
        while matches!(self.ended(), Ok(None)) {
            let _ = kill_process_group(group, signal);
            std::thread::sleep(Duration::from_millis(5));
            if asked.elapsed() > GRACE {
                signal = Signal::KILL;
            }
        }
    }
}

/// Waits until there is something to read, or the end; fails as soon as `check` does.
pub(super) fn wait_readable(
    file: &impl AsFd,
    check: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    let timeout = Timespec::try_from(WAIT).expect("a tenth of a second fits");
    loop {
        check()?;
        let mut files = [PollFd::new(file, PollFlags::IN)];
        match poll(&mut files, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Fails if the backup is cancelled.
pub(super) fn fail_if_cancelled(monitor: &Monitor) -> io::Result<()> {
    if monitor.is_cancelled() { Err(io::Error::other("interrupted")) } else { Ok(()) }
}

/// Reads standard error to its end, passes its lines on, and returns the end of it.
fn end_of(mut errors: ChildStderr, mut lines: ProgramLines) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4 << 10]);
    while let Ok(len @ 1..) = errors.read(&mut buffer) {
        lines.push(&buffer[..len]);
        kept.extend_from_slice(&buffer[..len]);
        let excess = kept.len().saturating_sub(LAST_WORDS_LEN_BYTES);
        kept.drain(..excess);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monitor() -> Arc<Monitor> {
        Arc::new(Monitor::default())
    }

    fn sh(line: &str) -> Program {
        Program::new("sh").args(["-c", line])
    }

    #[test]
    fn a_failure_says_the_last_words() {
        let run = |line| sh(line).output(&monitor(), 100);
        assert_eq!(run("echo a; echo no >&2").unwrap(), b"a\n");
        let error = run("seq 10000 >&2; echo 'access denied' >&2; exit 3").unwrap_err().to_string();
        assert!(error.contains("failed: exit status: 3: "), "{error}");
        assert!(error.ends_with("9999\n10000\naccess denied"), "{error}");
        assert!(error.len() < LAST_WORDS_LEN_BYTES + 100);
        assert!(run("yes").unwrap_err().to_string().contains("more than 100 bytes"));
        let missing = Program::new("/no/such/program").output(&monitor(), 1).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(missing.to_string().contains("/no/such/program"), "{missing}");
    }

    #[test]
    fn secrets_come_by_a_pipe_and_are_in_no_list_of_processes() {
        let mut program = Program::new("sh");
        let path = program.pass_secret(b"password=hunter2\n").unwrap();
        let seen = "cat \"$1\"; tr '\\0' ' ' < /proc/$$/cmdline";
        let output = program.args(["-c", seen, "sh", &path]).output(&monitor(), 1000).unwrap();
        let output = String::from_utf8(output).unwrap();
        assert!(output.starts_with("password=hunter2\n"), "{output}");
        assert_eq!(output.matches("hunter2").count(), 1);
        assert!(Program::new("sh").pass_secret(&[0; 5000]).is_err());
    }

    #[test]
    fn other_programs_do_not_inherit_a_secret() {
        let mut program = Program::new("sh");
        let path = program.pass_secret(b"x").unwrap();
        assert!(sh(&format!("cat {path}")).output(&monitor(), 10).is_err());
        assert_eq!(
            program.args(["-c", &format!("cat {path}")]).output(&monitor(), 9).unwrap(),
            b"x"
        );
    }

    #[test]
    fn a_program_is_stopped_with_its_children() {
        let monitor = monitor();
        let mut running = sh("sleep 1000 & echo $!; wait").start(&monitor).unwrap();
        let mut buffer = [0; 100];
        let len = running.read(&mut buffer).unwrap();
        let child = std::str::from_utf8(&buffer[..len]).unwrap().trim().to_owned();
        let lives = || std::path::Path::new("/proc").join(&child).join("exe").exists();
        assert!(lives());
        running.stop_flag().store(true, Ordering::Relaxed);
        assert!(running.read(&mut buffer).is_err());
        drop(running);
        let asked = Instant::now();
        while lives() {
            assert!(asked.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
