//! MariaDB server of a test's own: on a socket in a scratch folder, as an unprivileged user.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use tempfile::TempDir;

use crate::support::needs::{can_run, is_root};
use crate::support::servers::process::{Process, wait_until};

/// The user that a server runs as where the tests run as root, which a server refuses.
const USER: &str = "nobody";
/// Backups that are tried under writes.
const TRIES_MAX: usize = 5;

/// Returns whether the programs are there.
#[must_use]
pub fn can_run_mariadb() -> bool {
    let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let programs = ["mariadbd", "mariadb-install-db", "mariadb-backup", "mbstream"];
    can_run(programs.into_iter().all(is_there), "MariaDB's server and mariadb-backup")
}

/// A running server.
pub struct MariaDb {
    scratch: TempDir,
    data: PathBuf,
    _process: Process,
}

impl MariaDb {
    /// Makes a server with nothing but its system tables, and starts it.
    pub fn start(options: &[&str]) -> Self {
        let scratch = scratch();
        let data = scratch.path().join("data");
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
        install.args(["--skip-test-db", "--skip-name-resolve"]).arg(of("--datadir=", &data));
        // Not the system's: each server removes what it takes for its own leftovers there.
        install.arg(of("--tmpdir=", scratch.path()));
        run(install.args(user_option()));
        Self::start_in(scratch, data, options)
    }

    /// Starts a server with the data of a prepared backup.
    pub fn start_with(data: &Path) -> Self {
        give(data);
        Self::start_in(scratch(), data.to_owned(), &[])
    }

    fn start_in(scratch: TempDir, data: PathBuf, options: &[&str]) -> Self {
        let at = |name: &str| scratch.path().join(name);
        let mut server = Command::new("mariadbd");
        server.args(["--no-defaults", "--skip-networking", "--innodb-buffer-pool-size=32M"]);
        server.arg(of("--datadir=", &data)).arg(of("--socket=", &at("socket")));
        server.arg(of("--pid-file=", &at("pid"))).arg(of("--tmpdir=", scratch.path()));
        server.arg(of("--log-error=", &at("log"))).args(user_option()).args(options);
        let mut process = Process::start(&server);
        let is_there = || {
            let mut ping = Command::new("mariadb-admin");
            ping.args(["--no-defaults", "--user=root"]).arg(of("--socket=", &at("socket")));
            ping.arg("ping").output().unwrap().status.success()
        };
        let is_up = wait_until(is_there, || process.is_running());
        assert!(is_up, "{}", fs::read_to_string(at("log")).unwrap_or_default());
        Self { scratch, data, _process: process }
    }

    /// Returns its socket.
    pub fn socket(&self) -> PathBuf {
        self.scratch.path().join("socket")
    }

    /// Runs statements, and returns the rows that they give, with tabs between columns.
    pub fn sql(&self, statements: &str) -> String {
        let mut client = self.client(Stdio::piped());
        let mut input = client.stdin.take().unwrap();
        let statements = statements.to_owned();
        let writer = thread::spawn(move || input.write_all(statements.as_bytes()));
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        writer.join().unwrap().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs statements again and again until it is told to stop; `statements` gets the round.
    pub fn keep_writing(&self, statements: impl Fn(u32) -> String + Send + 'static) -> Writer {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let mut client = self.client(Stdio::null());
        let mut input = client.stdin.take().unwrap();
        let thread = thread::spawn({
            let is_stopped = Arc::clone(&is_stopped);
            move || {
                let rounds = (0..).take_while(|_| !is_stopped.load(Ordering::Relaxed));
                rounds.for_each(|round| input.write_all(statements(round).as_bytes()).unwrap());
                drop(input);
                assert!(client.wait().unwrap().success());
            }
        });
        Writer { is_stopped, thread }
    }

    fn client(&self, output: Stdio) -> Child {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--user=root", "--batch", "--skip-column-names"]);
        client.args(["--default-character-set=utf8mb4", "--unbuffered"]);
        client.arg(of("--socket=", &self.scratch.path().join("socket")));
        client.stdin(Stdio::piped()).stdout(output).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Returns the command that streams a backup to its standard output, and its words to a file.
    pub fn backup(&self, options: &[&str]) -> Command {
        let at = |name: &str| self.scratch.path().join(name);
        let mut backup = Command::new("mariadb-backup");
        backup.args(["--no-defaults", "--backup", "--stream=mbstream", "--user=root"]);
        backup.arg(of("--socket=", &at("socket"))).arg(of("--datadir=", &self.data));
        backup.arg(of("--target-dir=", &at("target"))).args(options);
        backup.stdin(Stdio::null()).stdout(Stdio::piped());
        backup.stderr(File::create(at("words")).unwrap());
        backup
    }

    /// Returns what the last backup said.
    pub fn words(&self) -> String {
        fs::read_to_string(self.scratch.path().join("words")).unwrap()
    }

    /// Returns the bytes of a whole backup.
    pub fn backup_bytes(&self, options: &[&str]) -> Vec<u8> {
        // Under writes the program itself fails now and then, because its reader of the log stalls
        // (MDEV-39468). It says so by its exit code, and whoever runs it tries again.
        let backed_up = (0..TRIES_MAX).find_map(|_| {
            let output = self.backup(options).output().unwrap();
            let has_stalled = self.words().contains("Retrying read of log at LSN");
            assert!(output.status.success() || has_stalled, "{}", self.words());
            output.status.success().then_some(output.stdout)
        });
        backed_up.unwrap_or_else(|| panic!("{}", self.words()))
    }
}

/// A client that writes.
pub struct Writer {
    is_stopped: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Lets it end its round, and waits for that.
    pub fn stop(self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// Makes the unpacked files of a backup usable by a server.
pub fn prepare(folder: &Path) {
    run(Command::new("mariadb-backup").arg("--prepare").arg(of("--target-dir=", folder)));
}

/// Unpacks a stream with MariaDB's own program, and returns whether it could.
pub fn mbstream(stream: &Path, folder: &Path) -> bool {
    fs::create_dir(folder).unwrap();
    let mut mbstream = Command::new("mbstream");
    mbstream.arg("-x").arg("-C").arg(folder).stdin(File::open(stream).unwrap());
    mbstream.output().unwrap().status.success()
}

/// Returns a folder of the server's user.
fn scratch() -> TempDir {
    let scratch = tempfile::Builder::new().prefix("drumlin-mariadb-").tempdir().unwrap();
    give(scratch.path());
    scratch
}

/// Gives a folder to the server's user.
fn give(folder: &Path) {
    if is_root() {
        run(Command::new("chown").args(["-R", USER]).arg(folder));
    }
}

fn user_option() -> Option<String> {
    is_root().then(|| format!("--user={USER}"))
}

fn of(option: &str, path: &Path) -> String {
    format!("{option}{}", path.display())
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let words = [&output.stdout[..], &output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&words));
}
