//! One repository, reached through a connection with one kind of fault.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use super::busy_front::Front;
use super::{Fault, Lasts, Phase, local};
use crate::support::fixture::noise;
use crate::support::home::{Home, Ran};
use crate::support::servers::place::Place;
use crate::support::servers::proxy::{Proxy, Toward};

/// What a phase usually sends toward the server, and toward the client, in bytes.
pub type Costs = [(u64, u64); 4];

/// Requests that a server refuses before it is not busy any more.
const REFUSED: u64 = 3;
/// How long anything may take, on a machine that is very slow or very busy. What waits for ever
/// takes longer.
const TIME_MAX: Duration = Duration::from_secs(180);
const BACKUP: [&str; 3] = ["backup", "--quiet", "src"];
const PRUNE: [&str; 5] = ["prune", "--quiet", "--trash", "0d", "--max-unused=0"];

enum Line {
    Proxy(Proxy),
    Front(Front),
}

/// A repository, the line to it, and what happens there.
pub struct Row {
    name: &'static str,
    fault: Fault,
    home: Home,
    line: Line,
    files: u64,
    /// Phases in which the fault came.
    hits: u64,
}

impl Row {
    /// Makes a repository with a snapshot of a source.
    pub fn start(place: &Place, name: &'static str, fault: Fault) -> Self {
        let (line, address) = match fault {
            Fault::Storm(_) => {
                let front = Front::start(place.address());
                let address = front.address;
                (Line::Front(front), address)
            }
            _ => {
                let proxy = Proxy::start(place.address());
                let address = local(proxy.port());
                (Line::Proxy(proxy), address)
            }
        };
        let home =
            Home::new().with("DRUMLIN_REPOSITORY", "far").with("DRUMLIN_KEY_FILE", "test.key");
        let lines = place.lines(name, address);
        let (timeout, _) = fault.times();
        let usual = if fault.passes() { timeout } else { "60s" };
        home.configure("patient.toml", &format!("{lines}timeout = \"{usual}\"\nretry = \"2m\"\n"));
        home.configure("hasty.toml", &format!("{lines}timeout = \"{timeout}\"\nretry = \"2s\"\n"));
        let mut this = Self { name, fault, home, line, files: 0, hits: 0 };
        this.grow(300_000);
        this.settle(&["init", "--quiet"]);
        this.settle(&BACKUP);
        this
    }

    /// Adds a file to the source.
    fn grow(&mut self, len: usize) {
        self.files += 1;
        self.home.write(&format!("src/{}", self.files), noise(self.files, len));
    }

    /// Prepares a phase, and returns its commands.
    fn prepare(&mut self, phase: &Phase) -> Vec<Vec<String>> {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match phase.name {
            "upload" => {
                self.grow(1_200_000);
                vec![own(&BACKUP)]
            }
            "commit" => {
                self.grow(10);
                vec![own(&BACKUP)]
            }
            "restore" => vec![self.restore("new", "out")],
            _ => {
                self.settle(&["forget", "--quiet", "--keep-last", "1", "--force"]);
                // A prune makes more than a hundred requests one after the other.
                let is_slow = matches!(self.fault, Fault::Latency);
                (!is_slow).then(|| own(&PRUNE)).into_iter().chain([own(&["snapshots"])]).collect()
            }
        }
    }

    /// Returns the command of a machine that knows nothing yet.
    fn restore(&self, cache: &str, target: &str) -> Vec<String> {
        let from = format!("latest:{}", self.home.text("src"));
        ["restore", "--quiet", &from, "--cache-dir", cache, "--target", target]
            .map(str::to_owned)
            .to_vec()
    }

    /// Runs what nothing disturbs, which must succeed.
    fn settle<S: AsRef<str>>(&self, args: &[S]) {
        let args: Vec<&str> = ["--config", "patient.toml"]
            .into_iter()
            .chain(args.iter().map(AsRef::as_ref))
            .collect();
        let ran = self.home.run(&args);
        assert_eq!(ran.code, 0, "{}: {args:?}: {}", self.name, ran.err);
    }

    fn is_restored(&self, target: &str) -> bool {
        self.home.tree(target) == self.home.tree("src")
    }

    /// Goes through a phase to which nothing happens, and returns what it sends.
    pub fn cost_of(&mut self, phase: &Phase) -> (u64, u64) {
        let commands = self.prepare(phase);
        let Line::Proxy(proxy) = &self.line else { panic!("a front counts nothing") };
        let bytes = || (proxy.bytes(Toward::Server), proxy.bytes(Toward::Client));
        let before = bytes();
        for command in &commands {
            self.settle(command);
        }
        let after = bytes();
        // The others go through it again, too.
        commands.iter().for_each(|command| self.settle(command));
        (after.0 - before.0, after.1 - before.1)
    }

    /// Goes through a phase in which something happens, and through it again when that is over.
    pub fn harm(&mut self, phase: &Phase, cost: (u64, u64)) {
        let commands = self.prepare(phase);
        self.begin(phase, cost);
        for command in &commands {
            self.run(phase, command);
        }
        self.end(phase);
        for command in &commands {
            self.settle(command);
        }
        assert!(phase.name != "restore" || self.is_restored("out"), "{}", self.name);
        self.settle(&["check", "--quiet", "--level", "full"]);
    }

    fn begin(&self, phase: &Phase, cost: (u64, u64)) {
        match (&self.line, self.fault) {
            (Line::Proxy(proxy), Fault::Latency) => {
                proxy.delay(Duration::from_millis(100));
                proxy.jitter(Duration::from_millis(25));
            }
            (Line::Front(front), Fault::Storm(lasts)) => {
                let count = if lasts == Lasts::AWhile { REFUSED } else { u64::MAX };
                front.storm(phase.refused.0, phase.refused.1, count);
            }
            (Line::Proxy(proxy), fault) => {
                let (toward, then) = fault.trigger().expect("all others are in the line");
                let cost = if toward == Toward::Server { cost.0 } else { cost.1 };
                proxy.after(toward, (cost as f64 * phase.at) as u64, then);
            }
            (Line::Front(_), _) => panic!("a front has storms only"),
        }
    }

    fn end(&mut self, phase: &Phase) {
        let has_come = match &self.line {
            Line::Proxy(proxy) => {
                let is_due =
                    self.fault.trigger().is_some_and(|(toward, _)| proxy.is_reset_due(toward));
                proxy.delay(Duration::ZERO);
                proxy.jitter(Duration::ZERO);
                proxy.heal();
                !is_due
            }
            Line::Front(front) => match self.fault {
                Fault::Storm(Lasts::AWhile) => front.calm() < REFUSED,
                _ => front.calm() < u64::MAX,
            },
        };
        println!(
            "{:11} {:8} {}",
            self.name,
            phase.name,
            if has_come { "it happened" } else { "nothing happened" }
        );
        self.hits += u64::from(has_come);
    }

    /// Runs a command to which something happens: it finishes, or fails and says why, in time.
    fn run(&self, phase: &Phase, command: &[String]) {
        let passes = self.fault.passes();
        let config = if passes { "patient.toml" } else { "hasty.toml" };
        let args: Vec<&str> =
            ["--config", config].into_iter().chain(command.iter().map(String::as_str)).collect();
        let mut child = self.home.spawn(args, Stdio::null());
        let (start, mut since) = (Instant::now(), None);
        while child.try_wait().unwrap().is_none() {
            if start.elapsed() > TIME_MAX {
                child.kill().unwrap();
                let ran = Ran::of(&child.wait_with_output().unwrap());
                panic!("{}, {}: {command:?} does not end:\n{}", self.name, phase.name, ran.err);
            }
            if let Line::Proxy(proxy) = &self.line
                && passes
                && proxy.is_harmed()
                && since.get_or_insert_with(Instant::now).elapsed() > self.fault.times().1
            {
                proxy.heal();
            }
            thread::sleep(Duration::from_millis(2));
        }
        let ran = Ran::of(&child.wait_with_output().unwrap());
        println!(
            "{:11} {:8} {:4.1} s, code {}: {:?}",
            self.name,
            phase.name,
            start.elapsed().as_secs_f64(),
            ran.code,
            ran.err
        );
        assert!(
            ran.code == 0 || !passes && ran.code == 1,
            "{}, {}: {ran:?}",
            self.name,
            phase.name
        );
        if ran.code == 1 {
            let is_where = |line: &str| {
                line.contains("cannot ") && (line.contains("s3://") || line.contains("sftp://"))
            };
            assert!(ran.err.lines().any(is_where), "where? {ran:?}");
            assert!(
                ran.err.contains("  hint: ") && ran.err.contains("check the network"),
                "what to do? {ran:?}"
            );
        }
        assert!(!ran.err.contains("panicked"), "{ran:?}");
    }

    /// All is there, here and elsewhere.
    pub fn finish(self) {
        self.settle(&self.restore("newest", "back"));
        assert!(self.is_restored("back"), "{}", self.name);
        // Who is hasty may have failed before.
        assert!(
            self.hits > 0 || !self.fault.passes(),
            "{}: what was to happen never did",
            self.name
        );
    }
}
