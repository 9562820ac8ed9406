//! Mounted repositories, and scripts that look into them.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::home::{Home, Ran};

/// How long anything may take: machines can be slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// A mounted repository; it is unmounted when this is dropped, and when the test ends in any other
/// way.
pub struct Mount {
    /// The program.
    pub child: Option<Child>,
    /// Where it is.
    pub dir: PathBuf,
    /// What it said first.
    pub said: String,
}

impl Mount {
    /// Mounts at the folder `mnt` of a home, which is made.
    pub fn new(home: &Home) -> Self {
        Self::with(home, &[])
    }

    /// Mounts with more arguments.
    pub fn with(home: &Home, arguments: &[&str]) -> Self {
        let dir = home.path("mnt");
        fs::create_dir_all(&dir).unwrap();
        let mut command = home.wrapped(
            &["setpriv", "--pdeathsig", "TERM", "--"],
            [&["mount", "mnt"], arguments].concat(),
        );
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap());
        // A document of JSON has several lines.
        while lines.read_line(&mut said).unwrap() > 0
            && said.starts_with('{')
            && !said.ends_with("}\n")
        {}
        let mut mount = Self { child: Some(child), dir, said };
        if mount.said.is_empty() {
            panic!("not mounted: {:?}", mount.wait());
        }
        mount
    }

    /// Returns where a path of the newest snapshot is, which must begin with `/`.
    pub fn latest(&self, path: &Path) -> PathBuf {
        self.dir.join("latest").join(path.strip_prefix("/").unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    /// Waits for the program to end and returns what it said meanwhile.
    pub fn wait(&mut self) -> Ran {
        Ran::of(&self.child.take().unwrap().wait_with_output().unwrap())
    }

    /// Ends it as Ctrl-C does.
    pub fn end(mut self) -> Ran {
        self.signal(Signal::INT);
        self.wait()
    }

    /// Returns whether something is mounted there.
    pub fn is_mounted(&self) -> bool {
        is_mounted(&self.dir)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.signal(Signal::TERM);
            let ran = self.wait();
            if !std::thread::panicking() {
                assert_eq!(ran.code, 0, "{ran:?}");
            }
        }
    }
}

pub fn is_mounted(dir: &Path) -> bool {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let table = fs::read_to_string("/proc/self/mounts").unwrap();
    table.lines().any(|line| line.split(' ').nth(1) == dir.to_str())
}

/// Waits until something is so.
#[track_caller]
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a script of the shell in a folder; it must succeed and returns what it said.
#[track_caller]
pub fn sh(folder: &Path, script: &str) -> String {
    let output = try_sh(folder, script);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{script}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

pub fn try_sh(folder: &Path, script: &str) -> Output {
    let mut shell = Command::new("bash");
    shell
        .args(["-euc", script])
        .current_dir(folder)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .stdin(Stdio::null());
    shell.output().unwrap()
}

/// Reads a whole file, or says why it cannot be read.
pub fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}
