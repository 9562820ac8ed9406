//! Goal: whoever is killed or stopped, whenever: no snapshot that exists is lost, nothing has to be cleaned up by hand, and
//! nobody waits for anybody.
//! Method: real processes on a real folder, killed with `SIGKILL` at random moments, alone and beside each other. After each
//! kill every snapshot must still be listed; at intervals everything is checked in full and restored.
//!
//! `DRUMLIN_KILLS` and `DRUMLIN_PARALLEL_SECONDS` set how long it goes on, `DRUMLIN_TEST_SEED` what happens.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::{noise, write};
use crate::home::{Home, Ran};

const PRUNE: [&str; 5] = ["prune", "--quiet", "--trash", "0d", "--max-unused=0"];

fn number<T: FromStr>(variable: &str, usual: T) -> T {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Changes a few files of a source, in a way that no earlier round did.
fn change(source: &Path, round: u64, random: &mut SmallRng) {
    for _ in 0..3 {
        let file = random.random_range(0..40);
        write(&source.join(format!("d{}/f{file}", file % 5)), &noise(round * 100 + file, 100 + 200 * file as usize));
    }
    let large = random.random_range(0..4u64);
    write(&source.join(format!("large-{large}")), &noise(1_000_000 + round, 600_000));
}

/// Returns what tells one state of a folder from all others.
fn digest(home: &Home, folder: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, bytes) in home.tree(folder) {
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
    }
    hasher.finalize().to_hex().to_string()
}

fn ids(home: &Home) -> Vec<String> {
    let listed = home.json(["snapshots"]);
    let id = |snapshot: &serde_json::Value| snapshot["id"].as_str().unwrap().to_owned();
    listed["snapshots"].as_array().unwrap().iter().map(id).collect()
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_child(child);
    kill_process(pid, signal).unwrap();
}

/// A repository, and what its snapshots must give back.
struct Trial {
    home: Home,
    random: SmallRng,
    kept: BTreeMap<String, String>,
    longest: Duration,
}

impl Trial {
    fn new(seed: u64) -> Self {
        let home = Home::with_repository();
        let mut random = SmallRng::seed_from_u64(seed);
        (0..20).for_each(|round| change(&home.path("src"), round, &mut random));
        Self { home, random, kept: BTreeMap::new(), longest: Duration::from_millis(30) }
    }

    /// Runs commands beside each other and kills each at a moment of its own; whoever was quicker must have succeeded.
    fn kill_all(&mut self, commands: &[&[&str]]) {
        let started = Instant::now();
        let spawn = |args: &&[&str]| self.home.spawn(*args, Stdio::null());
        let children: Vec<Child> = commands.iter().map(spawn).collect();
        let mut ends: Vec<_> = children.into_iter().map(|child| (self.moment(), child)).collect();
        ends.sort_by_key(|(moment, _)| *moment);
        for (moment, mut child) in ends {
            while started.elapsed() < moment && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_micros(200));
            }
            if child.try_wait().unwrap().is_some() {
                self.longest = self.longest.max(started.elapsed());
            }
            child.kill().unwrap();
            let ran = Ran::of(&child.wait_with_output().unwrap());
            assert!(ran.code == 0 || ran.code == -9, "{ran:?}");
        }
    }

    fn moment(&mut self) -> Duration {
        self.longest.mul_f64(self.random.random_range(0.0..1.2))
    }

    /// Looks which snapshots there are; all that were there must still be, but for `forgettable` ones.
    fn look(&mut self, is_forgetting: bool) {
        let listed = ids(&self.home);
        let state = digest(&self.home, "src");
        let lost: Vec<_> = self.kept.keys().filter(|id| !listed.contains(id)).cloned().collect();
        assert!(lost.is_empty() || is_forgetting && !listed.is_empty(), "lost {lost:?}, left {listed:?}");
        self.kept.retain(|id, _| listed.contains(id));
        for id in listed {
            self.kept.entry(id).or_insert_with(|| state.clone());
        }
    }

    fn restore(&self, id: &str) {
        let from = format!("{id}:{}", self.home.text("src"));
        self.home.run(["restore", "--quiet", &from, "--target", "back"]).ok();
        assert_eq!(digest(&self.home, "back"), self.kept[id], "snapshot {id}");
        std::fs::remove_dir_all(self.home.path("back")).unwrap();
    }

    /// What nobody disturbs must work at once, whatever the dead left.
    fn settle(&mut self) {
        self.home.run(["backup", "--quiet", "--always-snapshot", "src"]).ok();
        self.look(false);
        self.home.run(PRUNE).ok();
        self.look(false);
        self.home.run(["check", "--quiet", "--level", "full"]).ok();
    }
}

#[test]
fn killed_processes_lose_nothing_and_leave_nothing_to_clean_up() {
    let (kills, seed) = (number("DRUMLIN_KILLS", 60), number("DRUMLIN_TEST_SEED", 1));
    println!("{kills} kills, seed {seed}");
    let mut trial = Trial::new(seed);
    trial.settle();
    let backup: &[&str] = &["backup", "--quiet", "--always-snapshot", "src"];
    let forget: &[&str] = &["forget", "--quiet", "--keep-last", "5", "--force"];
    let mut killed = 0;
    for round in 0.. {
        if killed >= kills {
            break;
        }
        change(&trial.home.path("src"), 100 + round, &mut trial.random);
        let commands: &[&[&str]] = match trial.random.random_range(0..8) {
            0..3 => &[backup],
            3..5 => &[&PRUNE],
            5 => &[forget],
            _ => &[backup, &PRUNE],
        };
        killed += commands.len();
        trial.kill_all(commands);
        trial.look(commands == [forget]);
        if round % 12 == 11 {
            trial.home.run(forget).ok();
            trial.look(true);
            trial.settle();
            let random = trial.random.random_range(0..trial.kept.len());
            trial.restore(trial.kept.keys().nth(random).unwrap());
        }
    }
    trial.settle();
    trial.kept.keys().for_each(|id| trial.restore(id));
}

#[test]
fn nobody_waits_for_a_process_that_does_not_go_on() {
    let mut trial = Trial::new(number("DRUMLIN_TEST_SEED", 1));
    trial.settle();
    let backup = ["backup", "--quiet", "--always-snapshot", "src"];
    for round in 0..12 {
        trial.home.run(["forget", "--quiet", "--keep-last", "1", "--force"]).ok();
        trial.look(true);
        change(&trial.home.path("src"), 100 + round, &mut trial.random);
        let stopped: &[&str] = if round % 2 == 0 { &PRUNE } else { &backup };
        let child = trial.home.spawn(stopped, Stdio::null());
        std::thread::sleep(Duration::from_millis(30).mul_f64(trial.random.random_range(0.0..1.0)));
        signal(&child, Signal::STOP);
        // All of this finishes while the other one stands still in the middle of its work.
        trial.home.run(backup).ok();
        trial.home.run(PRUNE).ok();
        trial.home.run(backup).ok();
        signal(&child, Signal::CONT);
        Ran::of(&child.wait_with_output().unwrap()).ok();
        trial.look(false);
        trial.home.run(["check", "--quiet", "--level", "full"]).ok();
    }
    trial.kept.keys().for_each(|id| trial.restore(id));
}

/// One host of several: its own source, its own cache, and its own state at the end.
fn backup_in_a_loop(home: &Home, host: u64, until: Instant) -> u64 {
    let (source, cache) = (format!("host-{host}"), format!("cache-{host}"));
    let (mut random, mut count) = (SmallRng::seed_from_u64(host), 0);
    while Instant::now() < until || count < 2 {
        change(&home.path(&source), host * 1_000_000 + count, &mut random);
        let name = format!("host-{host}");
        home.run(["--cache-dir", &cache, "backup", "--quiet", "--always-snapshot", "--host", &name, &source]).ok();
        count += 1;
    }
    count
}

fn prune_in_a_loop(home: &Home, cache: &str, until: Instant) -> u64 {
    let mut count = 0;
    while Instant::now() < until {
        home.run(["--cache-dir", cache, "forget", "--quiet", "--keep-last", "2", "--force"]).ok();
        home.run([&["--cache-dir", cache], &PRUNE[..]].concat()).ok();
        count += 1;
    }
    count
}

#[test]
fn eight_backups_and_two_collectors_at_once_all_succeed() {
    let seconds = number("DRUMLIN_PARALLEL_SECONDS", 10);
    let home = Home::with_repository();
    let until = Instant::now() + Duration::from_secs(seconds);
    let counts = std::thread::scope(|scope| {
        let home = &home;
        let hosts: Vec<_> = (0..8).map(|host| scope.spawn(move || backup_in_a_loop(home, host, until))).collect();
        let prunes = ["cache-a", "cache-b"].map(|cache| scope.spawn(move || prune_in_a_loop(home, cache, until)));
        let sum =
            |threads: Vec<std::thread::ScopedJoinHandle<u64>>| -> u64 { threads.into_iter().map(|t| t.join().unwrap()).sum() };
        (sum(hosts), sum(prunes.into()))
    });
    println!("{} backups beside {} collections in {seconds} s", counts.0, counts.1);
    home.run(["check", "--quiet", "--level", "full"]).ok();
    let listed = home.json(["snapshots"]);
    for host in 0..8 {
        let name = format!("host-{host}");
        let of_host = |snapshot: &&serde_json::Value| snapshot["host"] == name.as_str();
        let newest = listed["snapshots"].as_array().unwrap().iter().rfind(of_host).unwrap();
        let from = format!("{}:{}", newest["id"].as_str().unwrap(), home.text(&name));
        home.run(["restore", "--quiet", &from, "--target", "back"]).ok();
        assert_eq!(digest(&home, "back"), digest(&home, &name));
        std::fs::remove_dir_all(home.path("back")).unwrap();
    }
}
