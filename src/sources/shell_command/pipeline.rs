//! Programs that pass their output on to the next, without a shell.
//!
//! Each part's end counts. When one fails, all are stopped: a part that waits for input that never
//! comes would wait for ever.

use std::cell::RefCell;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::monitor::Monitor;
use crate::os::shell::SECRETS;
use crate::sources::process::{Output, fail_if_cancelled, wait_readable};
use crate::sources::program_lines::ProgramLines;
use crate::sources::runner::Invocation;
use crate::sync::lock;

/// Time for a part to end after `SIGTERM`.
const GRACE: Duration = Duration::from_millis(300);
/// Time for the last words of a part that has ended: its children may keep its errors open.
const WORDS_GRACE: Duration = Duration::from_secs(1);
/// Bytes of standard error that are kept of each part.
const LAST_WORDS_LEN_BYTES: usize = 4 << 10;
/// Status that a shell gives a program that ended by `SIGPIPE`.
const SHELL_BROKEN_PIPE: i32 = 128 + 13;

/// Process groups of the parts that have not ended.
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Kills all running parts and their children at once.
pub fn kill_pipelines() {
    for group in groups().iter() {
        let _ = kill_process_group(*group, Signal::KILL);
    }
}

fn groups() -> MutexGuard<'static, Vec<Pid>> {
    lock(&GROUPS)
}

/// Programs that run; reading yields the output of the last.
///
/// Dropping it stops all parts that have not ended, and their children.
pub(super) struct Pipeline {
    parts: Vec<Part>,
    /// The output of the last part.
    output: Option<ChildStdout>,
    monitor: Arc<Monitor>,
    stop: Arc<AtomicBool>,
}

struct Part {
    shown: String,
    child: Child,
    status: Option<ExitStatus>,
    words: Arc<Mutex<Vec<u8>>>,
    errors: JoinHandle<()>,
}

impl Pipeline {
    /// Starts all parts. Fails, and stops those that run, if one cannot be started.
    pub(super) fn start(parts: &[Invocation], monitor: &Arc<Monitor>) -> io::Result<Self> {
        let mut pipeline = Self {
            parts: Vec::new(),
            output: None,
            monitor: Arc::clone(monitor),
            stop: Arc::default(),
        };
        for invocation in parts {
            // The first reads nothing.
            let input = pipeline.output.take().map_or(Stdio::null(), Stdio::from);
            let lines = ProgramLines::of(&invocation.program, monitor);
            let (part, output) = Part::start(invocation, input, lines)?;
            pipeline.parts.push(part);
            pipeline.output = Some(output);
        }
        Ok(pipeline)
    }

    /// Returns the failure to tell, if one is certain.
    ///
    /// A part that writes to one that has ended is killed by that, and so says nothing of the cause
    /// until all have ended.
    fn failure(&mut self, is_last: bool) -> io::Result<Option<io::Error>> {
        let mut broken = None;
        for at in 0..self.parts.len() {
            let Some(status) = self.parts[at].ended()? else { continue };
            if status.success() {
                continue;
            }
            if !is_broken_pipe(status) {
                let of = self.parts.len();
                self.stop_all();
                return Ok(Some(self.parts[at].failure(status, at + 1, of)));
            }
            broken = broken.or(Some((at, status)));
        }
        let of = self.parts.len();
        let broken = broken.filter(|_| is_last);
        Ok(broken.map(|(at, status)| self.parts[at].failure(status, at + 1, of)))
    }

    fn fail_if_failed(&mut self) -> io::Result<()> {
        self.fail_if_stopped()?;
        self.failure(false)?.map_or(Ok(()), Err)
    }

    fn fail_if_stopped(&self) -> io::Result<()> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(io::Error::other("interrupted")),
            false => fail_if_cancelled(&self.monitor),
        }
    }

    /// Stops all parts that run, and waits for their end.
    fn stop_all(&mut self) {
        let asked = Instant::now();
        let mut signal = Signal::TERM;
        loop {
            let mut is_running = false;
            for part in &mut self.parts {
                if matches!(part.ended(), Ok(None)) {
                    let _ = kill_process_group(Pid::from_child(&part.child), signal);
                    is_running = true;
                }
            }
            if !is_running {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
            if asked.elapsed() > GRACE {
                signal = Signal::KILL;
            }
        }
    }
}

impl Read for Pipeline {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(mut output) = self.output.take() else { return Ok(0) };
        let pipeline = RefCell::new(&mut *self);
        let read = wait_readable(&output, || pipeline.borrow_mut().fail_if_failed())
            .and_then(|()| output.read(buffer));
        self.output = Some(output);
        read
    }
}

impl Output for Pipeline {
    fn finish(&mut self) -> io::Result<()> {
        loop {
            let mut is_running = false;
            for part in &mut self.parts {
                is_running |= part.ended()?.is_none();
            }
            if let Some(failure) = self.failure(!is_running)? {
                return Err(failure);
            }
            if !is_running {
                self.parts.iter().for_each(Part::await_words);
                return Ok(());
            }
            self.fail_if_stopped()?;
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop_flag(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.stop_all();
    }
}

impl Part {
    fn start(
        invocation: &Invocation,
        input: Stdio,
        lines: ProgramLines,
    ) -> io::Result<(Self, ChildStdout)> {
        let mut command = Command::new(&invocation.program);
        for name in SECRETS {
            command.env_remove(name);
        }
        for (name, value) in &invocation.environment {
            command.env(name, value.as_str());
        }
        command.args(&invocation.arguments);
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A session of its own, and so a process group: its children can be stopped with it, and a
        // prompt at the terminal fails at once. SAFETY: between fork and exec only one system call
        // is made, which touches no memory.
        unsafe { command.pre_exec(|| rustix::process::setsid().map(drop).map_err(Into::into)) };
        let shown = crate::text::harmless(&invocation.program);
        let mut child = command.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("cannot run `{shown}`: {error}"))
        })?;
        groups().push(Pid::from_child(&child));
        let output = child.stdout.take().expect("standard output is piped");
        let errors = child.stderr.take().expect("standard error is piped");
        let words = Arc::<Mutex<Vec<u8>>>::default();
        let kept = Arc::clone(&words);
        let errors = std::thread::spawn(move || keep_end(errors, &kept, lines));
        Ok((Self { shown, child, status: None, words, errors }, output))
    }

    /// Returns the exit status, if it has ended; its process id is free from then on.
    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            let mut groups = groups();
            self.status = self.child.try_wait()?;
            if self.status.is_some() {
                let ended = Pid::from_child(&self.child);
                groups.retain(|group| *group != ended);
            }
        }
        Ok(self.status)
    }

    /// Waits a moment until all that it wrote to standard error was read.
    fn await_words(&self) {
        let asked = Instant::now();
        while !self.errors.is_finished() && asked.elapsed() < WORDS_GRACE {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn failure(&self, status: ExitStatus, at: usize, of: usize) -> io::Error {
        self.await_words();
        let words = String::from_utf8_lossy(&lock(&self.words)).trim().to_owned();
        let end = if words.is_empty() { String::new() } else { format!(": {words}") };
        io::Error::other(format!("part {at} of {of}, `{}`, failed: {status}{end}", self.shown))
    }
}

/// Returns whether a program ended because nobody reads its output any more.
fn is_broken_pipe(status: ExitStatus) -> bool {
    status.signal() == Some(libc::SIGPIPE) || status.code() == Some(SHELL_BROKEN_PIPE)
}

/// Reads standard error to its end, passes its lines on, and keeps the end of it.
fn keep_end(mut errors: ChildStderr, words: &Mutex<Vec<u8>>, mut lines: ProgramLines) {
    let mut buffer = [0; 4 << 10];
    while let Ok(len @ 1..) = errors.read(&mut buffer) {
        lines.push(&buffer[..len]);
        let mut words = lock(words);
        words.extend_from_slice(&buffer[..len]);
        let excess = words.len().saturating_sub(LAST_WORDS_LEN_BYTES);
        words.drain(..excess);
    }
}

#[cfg(test)]
mod tests;
