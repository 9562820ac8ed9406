//! Podman with its Docker-compatible service, in a folder of its own.
//!
//! Its containers see the system's own files through an overlay, so that no image is needed. They
//! have no network and end by themselves after ten minutes, also if the test was killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use drumlin::sources::engine_api::Engine;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::Server;

/// How long the service may take to start on a busy machine.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// No network, no journal, the runtime that copes with both kinds of control groups, and low limits:
/// in a container itself, this must not raise those that it has.
const CONFIGURATION: &str = "[containers]\nnetns = \"none\"\n\
    default_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
    [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n";

/// A running service, and its containers.
pub struct Podman {
    dir: TempDir,
    server: Option<Server>,
}

impl Podman {
    /// Returns whether this machine can run containers: Podman is there, and this is root.
    pub fn is_possible() -> bool {
        let version = Command::new("podman").arg("--version").output();
        version.is_ok_and(|version| version.status.success()) && crate::support::needs::is_root()
    }

    /// Starts the service, without any container.
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("drumlin-podman-").tempdir().unwrap();
        fs::write(dir.path().join("containers.conf"), CONFIGURATION).unwrap();
        let mut podman = Self { dir, server: None };
        podman.restart();
        podman
    }

    /// Starts the service, again if it was started before.
    pub fn restart(&mut self) {
        self.kill();
        let socket = self.socket();
        let _ = fs::remove_file(&socket);
        let mut words = self.words();
        let uri = format!("unix://{}", socket.display());
        words.extend(["system", "service", "--time", "0", &uri].map(str::to_owned));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.server = Some(Server::start("env", &words, &self.dir.path().join("log")));
        let start = Instant::now();
        while self.engine().version().is_err() {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap();
            assert!(start.elapsed() < START_TIME_MAX, "Podman's service does not answer: {log}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the service; its containers live on.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Returns a client.
    pub fn engine(&self) -> Engine {
        Engine::new(self.socket())
    }

    /// Returns the path of its socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("podman.sock")
    }

    /// Returns a path in the service's folder.
    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// Starts a container that does nothing, with more options.
    pub fn run_container(&self, name: &str, options: &[&str]) {
        self.run_program(name, options, &["/bin/sleep", "600"]);
    }

    /// Starts a container that runs a program, with more options.
    pub fn run_program(&self, name: &str, options: &[&str], program: &[&str]) {
        let mut arguments = vec!["run", "--detach", "--name", name, "--stop-timeout", "1"];
        arguments.extend(options);
        arguments.extend(["--rootfs", "/:O"]);
        arguments.extend(program);
        self.run(&arguments);
    }

    /// Runs `podman`, which must succeed, and returns what it prints.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "podman {arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn output(&self, arguments: &[&str]) -> Output {
        Command::new("env").args(self.words()).args(arguments).output().unwrap()
    }

    /// Returns the processes that have the service's folder on their command line.
    fn processes(&self) -> Vec<Pid> {
        let dir = self.dir.path().to_str().unwrap();
        let is_own = |pid: i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(dir)
        };
        let names = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        names.filter(|pid| is_own(*pid)).filter_map(Pid::from_raw).collect()
    }

    /// Returns the words that each call of `podman` begins with, for `env`.
    fn words(&self) -> Vec<String> {
        let at = |path: &str| self.dir.path().join(path).display().to_string();
        let configuration = format!("CONTAINERS_CONF={}", at("containers.conf"));
        let options = ["--root", &at("root"), "--runroot", &at("runroot")].map(str::to_owned);
        [vec![configuration, "podman".into()], options.into()].concat()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.kill();
        let _ = self.output(&["rm", "--all", "--force", "--time", "0"]);
        // The monitors of commands wait for five minutes, and then clean up in a folder that is
        // gone: they would make it anew.
        while let own @ [_, ..] = &self.processes()[..] {
            for pid in own {
                let _ = kill_process(*pid, Signal::KILL);
            }
            thread::sleep(Duration::from_millis(10));
        }
        // What an overlay still holds cannot be removed.
        unmount_below(self.dir.path());
    }
}

/// Unmounts everything below a folder, the deepest first.
fn unmount_below(dir: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let below: Vec<&str> = below.filter(|path| Path::new(path).starts_with(dir)).collect();
    for path in below.into_iter().rev() {
        let _ = Command::new("umount").args(["--lazy", path]).output();
    }
}
