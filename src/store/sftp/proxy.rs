//! Programs that carry a connection: `ProxyCommand`, and `ssh` for `ProxyJump`.
//!
//! The program's standard input and output are one end of a pair of sockets, and SSH goes through
//! the other. It has no terminal: several connections could ask at once, and backups run where
//! nobody is. It ends with the connection.

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

/// How long a program may take to end by itself when its connection has, and to say why; and then
/// once more when it is asked to.
const GRACE: Duration = Duration::from_millis(300);
/// How much of what it says is kept: the end.
const SAID_LEN_MAX_BYTES: usize = 2 << 10;
/// How a shell, and `env`, say that there is no such program, or that it cannot be run.
const NOT_RUN: [i32; 2] = [126, 127];

/// The programs that have not ended. Each leads a process group.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// A program that connections go through.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What people are told that it is: the option that names it, and what is run.
    pub shown: String,
    /// Variables that it shall not have: secrets of this program.
    pub without: &'static [&'static str],
}

/// A program that carries a connection. Dropping this ends it, and all that it has started.
pub struct RunningProxy {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
    listener: Option<JoinHandle<()>>,
    shown: String,
}

/// Kills all programs that carry connections: there is no time to let them end.
pub fn kill_all() {
    for group in running().iter() {
        let _ = kill_process_group(*group, Signal::KILL);
    }
}

fn running() -> MutexGuard<'static, Vec<Pid>> {
    lock(&RUNNING)
}

impl RunningProxy {
    /// Starts the program, and returns our end of the sockets. (It is one that TCP knows nothing
    /// of; the type represents any stream.)
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
        // With `command` goes our hold on their end, whose closing tells that the program has
        // ended.
        Ok((
            Self { child, said, listener, shown: proxy.shown.clone() },
            TcpStream::from(OwnedFd::from(ours)),
        ))
    }

    /// Adds what the program says, and how it ended, to why there is no connection. Waits a moment
    /// for its end.
    pub fn explain(&self, error: SftpError) -> SftpError {
        let (code, why) = self.last_words();
        let shown = self.shown.clone();
        match code {
            Some(code) if NOT_RUN.contains(&code) => SftpError::NoProxy { shown, why },
            _ if why.is_empty() => error,
            _ => SftpError::Proxy { shown, why, source: Box::new(error) },
        }
    }

    /// Adds the like to why a connection broke that there was.
    pub fn explain_break(&self, why: &str) -> String {
        match self.last_words().1 {
            words if words.is_empty() => why.to_owned(),
            words => format!("{why}; {} carried it: {words}", self.shown),
        }
    }

    /// Returns the code with which the program ended, if it did so by itself, and in words how it
    /// ended and what it says.
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

    /// Waits a moment for the program's end. What has ended keeps its number, which is that of its
    /// group, until this is dropped.
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
    /// The socket must be closed or shut down: a program without a connection ends by itself,
    /// mostly.
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
        // One that runs as another user cannot be killed, and nothing waits for it.
        let wait = move || {
            let _ = waitid(WaitId::Pid(group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            take_leave(group);
        };
        // Without a thread it keeps its number until this process ends, which does no harm.
        let _ = thread::Builder::new().name("proxy end".to_owned()).spawn(wait);
    }
}

/// Gives the number of a program free that has ended. The lock is held for it: killing all
/// must not hit another process that got the number.
fn take_leave(group: Pid) {
    let mut running = running();
    let _ = waitid(WaitId::Pid(group), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    running.retain(|pid| *pid != group);
}

/// Keeps the end of what a program says as long as it, or what it has started, can say anything.
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
    // Without one it is not known what the program says, and it waits when it has said much: that
    // is told as a silent server.
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
