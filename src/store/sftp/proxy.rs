//! Proxy programs that carry a connection: `ProxyCommand`, and `ssh` for `ProxyJump`.
//!
//! The program's standard input and output are one end of a pair of sockets; SSH uses the other. It
//! has no terminal, because several connections could prompt at once and most backups run
//! unattended. It ends with the connection.

use std::ffi::OsString;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, waitid,
};

use super::error::{SftpError, printable};

use crate::sync::lock;

/// Time for a program to end by itself after its connection has ended, and once more after
/// `SIGTERM`.
const GRACE: Duration = Duration::from_millis(300);
/// Bytes of its error output that are kept: the last ones.
const SAID_LEN_MAX_BYTES: usize = 2 << 10;
/// Exit codes of a shell and of `env` for a program that is missing or cannot be run.
const NOT_RUN: [i32; 2] = [126, 127];

/// Programs that are running. Each leads a process group.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// A program that carries connections.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its description for people: the option that names it, and the command.
    pub shown: String,
    /// Environment variables to remove: secrets of this program.
    pub without: &'static [&'static str],
}

/// A running program. Dropping this ends it and its children.
pub struct RunningProxy {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
    listener: Option<JoinHandle<()>>,
    shown: String,
}

/// Kills all running programs at once.
pub fn kill_all() {
    for group in running().iter() {
        let _ = kill_process_group(*group, Signal::KILL);
    }
}

fn running() -> MutexGuard<'static, Vec<Pid>> {
    lock(&RUNNING)
}

impl RunningProxy {
    /// Starts the program and returns our end of the sockets. (It is a Unix socket; the type works
    /// for any stream.)
    ///
    /// Fails with [`SftpError::NoProxy`] if it cannot be started.
    pub fn start(proxy: &Proxy) -> Result<(Self, TcpStream), SftpError> {
        let failed = |error: std::io::Error| SftpError::NoProxy {
            shown: proxy.shown.clone(),
            why: match error.kind() {
                ErrorKind::NotFound => {
                    format!("there is no program {} on this machine", proxy.program.display())
                }
                _ => error.to_string(),
            },
        };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let theirs = OwnedFd::from(theirs);
        let mut command = Command::new(&proxy.program);
        command
            .args(&proxy.arguments)
            .stdin(theirs.try_clone().map_err(failed)?)
            .stdout(theirs)
            .stderr(Stdio::piped());
        for name in proxy.without {
            command.env_remove(name);
        }
        // SAFETY: between fork and exec only one system call is made, which touches no memory.
        unsafe { command.pre_exec(|| rustix::process::setsid().map(drop).map_err(Into::into)) };
        let mut child = command.spawn().map_err(failed)?;
        running().push(Pid::from_child(&child));
        let (said, stderr) = (Arc::default(), child.stderr.take().expect("its errors are piped"));
        let listener = listen(stderr, Arc::clone(&said));
        // Dropping `command` closes our copy of their end, so that the end of the program is
        // noticed.
        Ok((
            Self { child, said, listener, shown: proxy.shown.clone() },
            TcpStream::from(OwnedFd::from(ours)),
        ))
    }

    /// Adds the program's output and exit status to the error of a failed connection. Waits a
    /// moment for its end.
    pub fn explain(&self, error: SftpError) -> SftpError {
        let (code, why) = self.last_words();
        let shown = self.shown.clone();
        match code {
            Some(code) if NOT_RUN.contains(&code) => SftpError::NoProxy { shown, why },
            _ if why.is_empty() => error,
            _ => SftpError::Proxy { shown, why, source: Box::new(error) },
        }
    }

    /// Adds the program's output and exit status to the cause of a broken connection.
    pub fn explain_break(&self, why: &str) -> String {
        match self.last_words().1 {
            words if words.is_empty() => why.to_owned(),
            words => format!("{why}; {} reports: {words}", self.shown),
        }
    }

    /// Returns the program's exit code, if it exited, and a text of its end and its output.
    fn last_words(&self) -> (Option<i32>, String) {
        let ended = self.wait_for_end();
        let since = Instant::now();
        while self.listener.as_ref().is_some_and(|listener| !listener.is_finished())
            && since.elapsed() < GRACE
        {
            thread::sleep(Duration::from_millis(5));
        }
        let said = printable(&lock(&self.said));
        let code = ended.as_ref().and_then(WaitIdStatus::exit_status);
        let ended = ended.map(|_| {
            code.map_or_else(
                || "it was killed".to_owned(),
                |code| format!("it ended with status {code}"),
            )
        });
        let said = (!said.is_empty()).then(|| format!("it says: {said}"));
        let words: Vec<String> = [ended, said].into_iter().flatten().collect();
        (code, words.join("; "))
    }

    /// Waits a moment for the program's end. It stays a zombie until this is dropped, so its
    /// number, which is also its group's, is not reused.
    fn wait_for_end(&self) -> Option<WaitIdStatus> {
        let (since, group) = (Instant::now(), Pid::from_child(&self.child));
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        loop {
            match waitid(WaitId::Pid(group), options) {
                Ok(None) if since.elapsed() < GRACE => thread::sleep(Duration::from_millis(5)),
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }
}

impl Drop for RunningProxy {
    /// The socket must be closed or shut down: most programs end by themselves then.
    fn drop(&mut self) {
        let group = Pid::from_child(&self.child);
        if self.wait_for_end().is_none() {
            let _ = kill_process_group(group, Signal::TERM);
            let _ = self.wait_for_end();
        }
        // Its children are in its group.
        let _ = kill_process_group(group, Signal::KILL);
        if self.wait_for_end().is_some() {
            return take_leave(group);
        }
        // A program of another user cannot be killed; a thread waits for its end.
        let wait = move || {
            let _ = waitid(WaitId::Pid(group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            take_leave(group);
        };
        // Without a thread it stays a zombie until this process ends, which is harmless.
        let _ = thread::Builder::new().name("proxy end".to_owned()).spawn(wait);
    }
}

/// Reaps a program that has ended. Holds the lock, so that `kill_all` cannot hit another process
/// with the same number.
fn take_leave(group: Pid) {
    let mut running = running();
    let _ = waitid(WaitId::Pid(group), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    running.retain(|pid| *pid != group);
}

/// Collects the end of the error output of a program and its children.
fn listen(mut stderr: ChildStderr, said: Arc<Mutex<Vec<u8>>>) -> Option<JoinHandle<()>> {
    let listen = move || {
        let mut buffer = [0; 512];
        while let Ok(len @ 1..) = stderr.read(&mut buffer) {
            let mut said = lock(&said);
            said.extend_from_slice(&buffer[..len]);
            let surplus = said.len().saturating_sub(SAID_LEN_MAX_BYTES);
            said.drain(..surplus);
        }
    };
    // Without a thread the output is lost, and a program with much of it blocks: that looks like a
    // silent server.
    thread::Builder::new().name("proxy errors".to_owned()).spawn(listen).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that runs as another user, as one under `sudo` does, and does not end: that it
    /// cannot be killed holds nobody up.
    #[test]
    fn a_program_that_cannot_be_killed_is_not_waited_for() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let arguments = vec!["-c".into(), "trap '' TERM HUP; while :; do sleep 1; done".into()];
        let proxy = Proxy { program: "sh".into(), arguments, shown: "sh".to_owned(), without: &[] };
        let (program, socket) = RunningProxy::start(&proxy).unwrap();
        let group = Pid::from_child(&program.child);
        drop(socket);
        // Of this thread alone.
        let as_nobody = || {
            let nobody = rustix::process::Uid::from_raw(65534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            drop(program);
        };
        let since = Instant::now();
        thread::scope(|scope| scope.spawn(as_nobody).join().unwrap());
        assert!(
            since.elapsed() < 10 * GRACE && running().contains(&group),
            "it was {:?}",
            since.elapsed()
        );
        kill_process_group(group, Signal::KILL).unwrap();
        while running().contains(&group) {
            assert!(since.elapsed() < 100 * GRACE, "whoever waits for it takes leave of it");
            thread::sleep(Duration::from_millis(5));
        }
    }
}
