//! Standard input, special files and commands as sources of a backup. All can be cancelled while
//! they wait.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::backup::{Stream, StreamSource};
use crate::monitor::Monitor;
use crate::os::descriptors::is_descriptor;
use crate::os::shell::shell;
use crate::sync::lock;

/// Interval at which a waiting stream checks for cancellation.
const WAIT: Duration = Duration::from_millis(100);
/// Time for a command to end after `SIGTERM`.
const GRACE: Duration = Duration::from_millis(300);

/// Process groups of the commands that have not ended.
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Kills all running commands and their children at once.
pub fn kill_commands() {
    for group in groups().iter() {
        let _ = kill_process_group(*group, Signal::KILL);
    }
}

fn groups() -> MutexGuard<'static, Vec<Pid>> {
    lock(&GROUPS)
}

/// Returns standard input as the file `name`.
pub fn stdin_source(name: &str, monitor: &Arc<Monitor>) -> StreamSource {
    let stream = StdinStream { monitor: Arc::clone(monitor) };
    StreamSource { path: path_of(name), stream: Box::new(stream), may_fail: false }
}

/// Starts a command and returns its output as the file `name`.
pub fn command_source(
    name: &str,
    command: &str,
    monitor: &Arc<Monitor>,
) -> io::Result<StreamSource> {
    let mut shell = shell(&format!("{PIPEFAIL}{command}"));
    shell.stdin(Stdio::null()).stdout(Stdio::piped());
    // A new session, and so a new process group: its children can be stopped with it, and a prompt
    // at the terminal fails at once instead of stopping the process silently. SAFETY: between fork
    // and exec only one system call is made, which touches no memory.
    unsafe { shell.pre_exec(|| rustix::process::setsid().map(drop).map_err(Into::into)) };
    let mut child = shell.spawn()?;
    groups().push(Pid::from_child(&child));
    let output = child.stdout.take().expect("standard output is piped");
    let stream =
        CommandStream { command: command.to_owned(), child, output, monitor: Arc::clone(monitor) };
    Ok(StreamSource { path: path_of(name), stream: Box::new(stream), may_fail: false })
}

/// Makes the failure of any command in a pipe count, if the shell supports that. A subshell tries
/// it first, because some shells exit on unknown options.
const PIPEFAIL: &str = "(set -o pipefail) 2>/dev/null && set -o pipefail\n";

/// Returns whether a path is read as a stream: a device, a fifo, or an inherited descriptor
/// (`/dev/stdin` is a link, even if it leads to a file).
pub fn is_special(path: &Path) -> bool {
    let kind = std::fs::metadata(path).map(|metadata| metadata.file_type());
    kind.is_ok_and(|kind| {
        kind.is_block_device()
            || kind.is_char_device()
            || kind.is_fifo()
            || !kind.is_dir() && is_descriptor(path)
    })
}

/// Returns the content of a special file as a file of the same path; if it cannot be opened, the
/// first read fails.
pub fn file_source(path: &Path, monitor: &Arc<Monitor>) -> io::Result<StreamSource> {
    // Non-blocking: `poll` waits instead, so that cancellation works.
    let file =
        File::options().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path);
    let path: PathBuf = std::path::absolute(path)?.components().collect();
    let stream = FileStream { file, monitor: Arc::clone(monitor) };
    Ok(StreamSource {
        path: path.into_os_string().into_encoded_bytes(),
        stream: Box::new(stream),
        may_fail: true,
    })
}

struct FileStream {
    file: io::Result<File>,
    monitor: Arc<Monitor>,
}

impl Stream for FileStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let file = match &mut self.file {
            Ok(file) => file,
            Err(error) => return Err(std::mem::replace(error, io::ErrorKind::Other.into())),
        };
        loop {
            wait_readable(file, &self.monitor)?;
            match file.read(buffer) {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                read => return read,
            }
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the path of a stream in the snapshot; its name may lack the first slash.
fn path_of(name: &str) -> Vec<u8> {
    format!("/{}", name.trim_start_matches('/')).into_bytes()
}

struct StdinStream {
    monitor: Arc<Monitor>,
}

impl Stream for StdinStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let stdin = io::stdin();
        wait_readable(&stdin, &self.monitor)?;
        // Not through the standard library's buffer, which `poll` does not see.
        Ok(rustix::io::read(&stdin, buffer)?)
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct CommandStream {
    command: String,
    child: Child,
    output: ChildStdout,
    monitor: Arc<Monitor>,
}

impl CommandStream {
    /// Returns the exit status, if the command has ended; its process id is free from then on.
    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let mut groups = groups();
        let status = self.child.try_wait()?;
        if status.is_some() {
            let ended = Pid::from_child(&self.child);
            groups.retain(|group| *group != ended);
        }
        Ok(status)
    }
}

impl Stream for CommandStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        wait_readable(&self.output, &self.monitor)?;
        self.output.read(buffer)
    }

    fn finish(&mut self) -> io::Result<()> {
        let status = loop {
            if let Some(status) = self.ended()? {
                break status;
            }
            stop_if_cancelled(&self.monitor)?;
            std::thread::sleep(Duration::from_millis(5));
        };
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("`{}` failed: {status}", self.command)))
        }
    }
}

impl Drop for CommandStream {
    /// Stops the command and its children, unless it has ended.
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

fn wait_readable(file: &impl AsFd, monitor: &Monitor) -> io::Result<()> {
    let timeout = Timespec::try_from(WAIT).expect("a tenth of a second fits");
    loop {
        stop_if_cancelled(monitor)?;
        let mut files = [PollFd::new(file, PollFlags::IN)];
        match poll(&mut files, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn stop_if_cancelled(monitor: &Monitor) -> io::Result<()> {
    if monitor.is_cancelled() { Err(io::Error::other("interrupted")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(source: &mut StreamSource) -> io::Result<Vec<u8>> {
        let (mut all, mut buffer) = (Vec::new(), [0; 100]);
        loop {
            match source.stream.read(&mut buffer)? {
                0 => return source.stream.finish().map(|()| all),
                len => all.extend_from_slice(&buffer[..len]),
            }
        }
    }

    #[test]
    fn a_command_is_complete_only_if_it_succeeds() {
        let monitor = Arc::new(Monitor::default());
        let run = |command: &str| read_all(&mut command_source("x", command, &monitor).unwrap());
        assert_eq!(run("echo a; echo b").unwrap(), b"a\nb\n");
        let error = run("echo a; exit 3").unwrap_err().to_string();
        assert!(error.contains("exit 3") && error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn every_command_of_a_pipe_counts_where_the_shell_can() {
        let monitor = Arc::new(Monitor::default());
        let can = shell("(set -o pipefail) 2>/dev/null").status().unwrap().success();
        let ended = read_all(&mut command_source("x", "false | cat", &monitor).unwrap());
        assert_eq!(ended.is_err(), can);
        assert_eq!(
            read_all(&mut command_source("x", "true | echo a", &monitor).unwrap()).unwrap(),
            b"a\n"
        );
    }

    #[test]
    fn fifos_are_read_to_their_end() {
        let (folder, monitor) = (tempfile::tempdir().unwrap(), Arc::new(Monitor::default()));
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::from_raw_mode(0o600))
            .unwrap();
        assert!(
            is_special(&fifo) && is_special(Path::new("/dev/null")) && !is_special(folder.path())
        );
        let mut source = file_source(&fifo, &monitor).unwrap();
        let writer = std::thread::spawn({
            let fifo = fifo.clone();
            move || std::fs::write(fifo, [7; 300]).unwrap()
        });
        assert_eq!(read_all(&mut source).unwrap(), [7; 300]);
        writer.join().unwrap();
        assert_eq!(source.path, fifo.as_os_str().as_encoded_bytes());
    }

    #[test]
    fn a_waiting_command_can_be_stopped() {
        let monitor = Arc::new(Monitor::default());
        let mut source = command_source("b", "echo x; sleep 1000", &monitor).unwrap();
        assert_eq!(source.path, b"/b");
        monitor.cancel();
        assert!(read_all(&mut source).is_err());
    }
}
