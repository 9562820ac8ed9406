//! Processes of tests that end with them, whatever happens.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to start: machines can be slow.
const START_MAX: Duration = Duration::from_secs(120);

/// A running process; it is killed when this is dropped, and when the thread that started it ends
/// in any other way.
pub struct Process(pub Child);

impl Process {
    /// Starts a program that reads and says nothing.
    pub fn start(command: &Command) -> Self {
        Self::start_with(command, Stdio::null())
    }

    /// Starts a program whose standard output goes somewhere.
    pub fn start_with(command: &Command, output: Stdio) -> Self {
        let mut wrapped = Command::new("setpriv");
        wrapped
            .args(["--pdeathsig", "KILL", "--"])
            .arg(command.get_program())
            .args(command.get_args());
        wrapped.stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        let started = wrapped.spawn();
        Self(
            started
                .unwrap_or_else(|error| panic!("setpriv of util-linux cannot be started: {error}")),
        )
    }

    /// Returns whether it is still running.
    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns a port that nobody listens on now, outside of those that connections are made from.
pub fn free_port() -> u16 {
    let ports = std::iter::repeat_with(|| 10_000 + rand::random::<u16>() % 20_000);
    ports
        .take(1000)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("some port is free")
}

/// Returns whether somebody listens on a port of this machine.
pub fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Asks again and again until the answer is yes, or returns false if a process that it depends on
/// has ended.
pub fn wait_until(mut is_there: impl FnMut() -> bool, mut is_alive: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < START_MAX {
        if is_there() {
            return true;
        }
        if !is_alive() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}
