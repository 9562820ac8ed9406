//! Real servers for tests, and a proxy that harms the connections to them.
//!
//! A server belongs to the test that starts it: it has a folder and an address of its own, ends
//! with the test whatever happens, and dies with the test's process. `scripts/test-deps.sh`
//! installs it.

#[cfg(feature = "s3")]
pub mod moto; // S3 in memory
#[cfg(feature = "sftp")]
pub mod openssh; // SFTP
pub mod place; // the repository of a test
pub mod podman; // an engine of containers
#[cfg(feature = "s3")]
pub mod process; // processes that end with a test
#[cfg(feature = "sftp")]
pub mod proftpd; // SFTP
pub mod proxy; // faults of connections
#[cfg(feature = "s3")]
pub mod radosgw; // Ceph's S3
#[cfg(feature = "s3")]
pub mod s3; // S3 servers and their stores
#[cfg(feature = "s3")]
pub mod s3rver; // S3 that replaces objects
#[cfg(feature = "s3")]
pub mod s3s_fs; // S3 that loses races

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to start on a busy machine.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// A process that is killed, with all that it has started, when this is dropped, and by the kernel
/// when the thread that started it dies.
pub struct Server(Child);

impl Server {
    /// Starts `program` in the foreground; what it says goes to `log`.
    pub fn start(program: &str, arguments: &[&str], log: &Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", program]).args(arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(
            command.spawn().unwrap_or_else(|error| {
                panic!("setpriv: {error}; scripts/test-deps.sh installs it")
            }),
        )
    }

    /// Waits until it greets on `address`; returns whether it does so before it ends by itself.
    pub fn greets(&mut self, address: SocketAddr, greeting: &str) -> bool {
        let start = Instant::now();
        while start.elapsed() < START_TIME_MAX {
            if self.0.try_wait().unwrap().is_some() {
                return false;
            }
            let mut said = vec![0; greeting.len()];
            let connected = TcpStream::connect_timeout(&address, START_TIME_MAX);
            if connected.is_ok_and(|mut stream| stream.read_exact(&mut said).is_ok())
                && said == greeting.as_bytes()
            {
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Returns whether processes that it has started live, such as those that serve its
    /// connections.
    pub fn has_descendants(&self) -> bool {
        !descendants(self.0.id()).is_empty()
    }

    /// Kills it and the processes that serve its connections. Those have ended when this returns.
    fn kill(&mut self) {
        let family = [vec![self.0.id()], descendants(self.0.id())].concat();
        for pid in &family {
            let pid = rustix::process::Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        self.0.wait().unwrap();
        while family.iter().any(|pid| is_alive(*pid)) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns an address of the loopback interface at which nobody listens; where all others use one
/// address, ports are soon taken by somebody else.
pub fn free_address() -> SocketAddr {
    loop {
        let [_, b, c, d] = rand::random::<u32>().to_be_bytes();
        let host = Ipv4Addr::new(127, b.max(1), c, d.clamp(1, 254));
        match TcpListener::bind((host, 0)) {
            Ok(listener) => return listener.local_addr().unwrap(),
            Err(error) => assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}"),
        }
    }
}

/// Waits until this machine knows that whoever listened at `address` has hung up on all its
/// clients.
pub fn wait_for_hang_up(address: SocketAddr) {
    const ESTABLISHED: &str = "01";
    let std::net::IpAddr::V4(host) = address.ip() else { panic!("{address}") };
    let peer = format!("{:08X}:{:04X}", u32::from_ne_bytes(host.octets()), address.port());
    let is_open = |line: &str| {
        let mut words = line.split_whitespace().skip(2);
        words.next() == Some(&peer) && words.next() == Some(ESTABLISHED)
    };
    while std::fs::read_to_string("/proc/net/tcp").unwrap().lines().any(is_open) {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Returns whether a process still has its files open.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Returns the processor time of a process, and that of those it has started and waited for.
pub fn processor_time(pid: u32) -> (Duration, Duration) {
    /// Ticks of the kernel in what it tells.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1.split(' ').skip(11).take(4);
    let ticks: Vec<u64> = fields.map(|field| field.parse().unwrap()).collect();
    let time = |ticks: u64| Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND);
    (time(ticks[0] + ticks[1]), time(ticks[2] + ticks[3]))
}

/// Returns the ids of all processes that a process has started, and those that these have started,
/// as far as they live.
fn descendants(ancestor: u32) -> Vec<u32> {
    let parent_of = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before it may hold anything.
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let parents: Vec<(u32, u32)> = pids.filter_map(|pid| Some((pid, parent_of(pid)?))).collect();
    let mut found = vec![ancestor];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found.split_off(1)
}

/// Runs a program that must succeed, and returns what it prints.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output
        .unwrap_or_else(|error| panic!("{program}: {error}; scripts/test-deps.sh installs it"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
