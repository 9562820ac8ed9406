//! A repository whose users are killed, and what its snapshots must give back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::support::fixture::{noise, write};
use crate::support::home::{Home, Ran};
use crate::support::servers::place::Place;

pub const BACKUP: &[&str] = &["backup", "--quiet", "--always-snapshot", "src"];
pub const PRUNE: &[&str] = &["prune", "--quiet", "--trash", "0d", "--max-unused=0"];
pub const FORGET: &[&str] = &["forget", "--quiet", "--keep-last", "5", "--force"];

pub const REPAIR: &[&str] = &["repair", "--quiet", "--apply"];

/// The file of a source that says which of its states this is.
const STATE: &str = "state";

/// Changes a few files of a source, in a way that no earlier round did.
pub fn change(source: &Path, round: u64, random: &mut SmallRng) {
    for _ in 0..3 {
        let file = random.random_range(0..40);
        write(
            &source.join(format!("d{}/f{file}", file % 5)),
            &noise(round * 100 + file, 100 + 200 * file as usize),
        );
    }
    let large = random.random_range(0..4u64);
    write(&source.join(format!("large-{large}")), &noise(1_000_000 + round, 600_000));
    write(&source.join(STATE), format!("{round}").as_bytes());
}

/// Returns what tells one state of a folder from all others.
pub fn digest(home: &Home, folder: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, bytes) in home.tree(folder) {
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
    }
    hasher.finalize().to_hex().to_string()
}

/// A repository, a source, and which snapshots and states there were.
pub struct Trial {
    pub home: Home,
    place: Place,
    pub random: SmallRng,
    /// Snapshots that were listed and may not be lost.
    kept: BTreeSet<String>,
    /// What each state of the source holds.
    states: BTreeMap<String, String>,
    round: u64,
    /// How long each command takes when nobody disturbs it.
    usual: BTreeMap<&'static str, Duration>,
    /// Processes that were killed before they had ended.
    pub killed: usize,
}

impl Trial {
    /// Makes a repository with two snapshots.
    pub fn new(place: Place, seed: u64) -> Self {
        let (home, random) = (place.home(), SmallRng::seed_from_u64(seed));
        let (kept, states, usual) = Default::default();
        let mut this = Self { home, place, random, kept, states, round: 0, usual, killed: 0 };
        (0..20).for_each(|_| this.change());
        this.settle();
        this.change();
        this.settle();
        this
    }

    /// Changes the source.
    pub fn change(&mut self) {
        let source = self.home.path("src");
        change(&source, self.round, &mut self.random);
        self.states.insert(self.round.to_string(), digest(&self.home, "src"));
        self.round += 1;
    }

    /// Runs commands beside each other and kills each at a moment of its own; whoever was quicker
    /// must have succeeded.
    pub fn kill_all(&mut self, commands: &[&'static [&str]]) {
        let started = Instant::now();
        let spawn =
            |args: &&'static [&'static str]| (args[0], self.home.spawn(*args, Stdio::null()));
        let children: Vec<(&str, Child)> = commands.iter().map(spawn).collect();
        let mut ends: Vec<_> =
            children.into_iter().map(|(name, child)| (self.moment(name), name, child)).collect();
        ends.sort_by_key(|(moment, ..)| *moment);
        for (moment, name, mut child) in ends {
            while started.elapsed() < moment && child.try_wait().unwrap().is_none() {
                thread::sleep(Duration::from_micros(200));
            }
            let took = child.try_wait().unwrap().map(|_| started.elapsed());
            child.kill().unwrap();
            let ran = Ran::of(&child.wait_with_output().unwrap());
            // A repair that ends well says that something is lost yet.
            assert!(
                ran.code == 0 || ran.code == -9 || name == REPAIR[0] && ran.code == 4,
                "{ran:?}"
            );
            self.killed += usize::from(ran.code == -9);
            self.learn(name, took);
        }
        self.place.rest();
    }

    /// Backs up, and takes away the packs with what was new, which the source still has; in a
    /// folder only.
    pub fn lose_what_is_new(&mut self) -> bool {
        if !matches!(self.place, Place::Folder) {
            return false;
        }
        let before = self.data_packs();
        self.home.run(BACKUP).ok();
        self.look(false);
        self.data_packs().difference(&before).for_each(|pack| std::fs::remove_file(pack).unwrap());
        true
    }

    fn data_packs(&self) -> BTreeSet<PathBuf> {
        let below =
            |path: PathBuf| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        below(self.home.path("repo/data")).filter(|path| path.is_dir()).flat_map(below).collect()
    }

    /// Ends a repair that was killed; then a backup of what has not changed makes everything whole.
    pub fn heal(&mut self) {
        let code = self.home.run(REPAIR).code;
        assert!(code == 0 || code == 4, "{code}");
        self.home.run(BACKUP).ok();
        self.look(false);
        self.home.run(["check", "--quiet", "--level", "full"]).ok();
    }

    fn moment(&mut self, name: &'static str) -> Duration {
        let usual = self.usual.get(name).or(self.usual.get(BACKUP[0])).copied();
        usual.unwrap_or(Duration::from_millis(30)).mul_f64(self.random.random_range(0.0..1.2))
    }

    /// Machines become slower and quicker; kills are to hit all of a command's time, and little
    /// that is after it.
    fn learn(&mut self, name: &'static str, took: Option<Duration>) {
        let usual = self.usual.entry(name).or_insert(Duration::from_millis(30));
        *usual = took.map_or(usual.mul_f64(1.05), |took| (*usual + took) / 2);
    }

    /// Looks which snapshots there are; all that were there must still be, but for `forgettable`
    /// ones.
    pub fn look(&mut self, is_forgetting: bool) {
        let listed = BTreeSet::from_iter(self.home.snapshot_ids());
        let lost: Vec<_> = self.kept.difference(&listed).collect();
        assert!(
            lost.is_empty() || is_forgetting && !listed.is_empty(),
            "lost {lost:?}, left {listed:?}"
        );
        self.kept = listed;
    }

    /// Restores a snapshot: it must be one of the states of the source, and nothing in between.
    pub fn restore(&self, id: &str) {
        let from = format!("{id}:{}", self.home.text("src"));
        self.home.run(["restore", "--quiet", &from, "--target", "back"]).ok();
        let state = self.home.read(&format!("back/{STATE}"));
        assert_eq!(digest(&self.home, "back"), self.states[&state], "snapshot {id}");
        std::fs::remove_dir_all(self.home.path("back")).unwrap();
    }

    /// Restores one of the snapshots, any.
    pub fn restore_any(&mut self) {
        let random = self.random.random_range(0..self.kept.len());
        self.restore(self.kept.iter().nth(random).unwrap());
    }

    /// Restores all snapshots.
    pub fn restore_all(&self) {
        self.kept.iter().for_each(|id| self.restore(id));
    }

    /// What nobody disturbs must work at once, whatever the dead left.
    pub fn settle(&mut self) {
        for command in [BACKUP, PRUNE] {
            let started = Instant::now();
            self.home.run(command).ok();
            self.usual.insert(command[0], started.elapsed());
            self.look(false);
        }
        self.home.run(["check", "--quiet", "--level", "full"]).ok();
    }
}
