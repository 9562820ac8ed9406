//! One history: rounds of operations, a backup, and checks.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::dice::Dice;
use super::disk::Tree;
use super::rules::{Asked, ask};
use super::world::World;
use super::{
    archive, changes, collect, listing, mounted, restore_empty, restore_over, sums, versions,
};
use crate::support::home::{Home, Ran};

/// What a snapshot holds by the model.
#[derive(Debug)]
pub struct Shot {
    /// All hex digits.
    pub id: String,
    pub asked: Asked,
    /// By absolute path.
    pub tree: Tree,
    /// Folders that only lead to what was asked for.
    pub ways: Tree,
}

/// A history that is being played.
pub struct History {
    pub home: Home,
    pub dice: Dice,
    /// Oldest first.
    pub shots: Vec<Shot>,
    /// How many forgotten ones are still there.
    pub in_trash: usize,
    /// East of Greenwich, of the clocks on the wall.
    pub offset_s: i64,
    pub sums: Sums,
    seed: u64,
    log: Vec<String>,
    is_loud: bool,
}

/// How much was done, to see that it was not nothing.
#[derive(Debug, Default)]
pub struct Sums {
    pub histories: u64,
    pub operations: u64,
    pub backups: u64,
    pub unchanged: u64,
    pub checks: u64,
    pub runs: u64,
}

impl Sums {
    pub fn add(&mut self, other: Self) {
        self.histories += other.histories;
        self.operations += other.operations;
        self.backups += other.backups;
        self.unchanged += other.unchanged;
        self.checks += other.checks;
        self.runs += other.runs;
    }

    /// Returns whether the histories were real ones.
    pub fn are_many(&self) -> bool {
        self.backups >= 2 * self.histories
            && self.operations >= 4 * self.histories
            && self.checks >= 4 * self.histories
    }
}

impl Drop for History {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.is_loud {
            eprintln!(
                "history {} (DRUMLIN_TEST_SEED={} plays it again):\n  {}",
                self.seed,
                self.seed,
                self.log.join("\n  ")
            );
        }
    }
}

/// Plays the history of a seed; panics at the first difference, and tells what was done.
pub fn play(seed: u64, is_loud: bool) -> Sums {
    let mut dice = Dice::new(seed);
    // Both number files in their own ways: an old file system uses a number again at once.
    let place = if dice.chance(75) { Home::in_memory() } else { Home::new() };
    let offset_s: i64 = *dice.pick(&[0, 0, 20_700, -18_000]);
    let zone = format!(
        "OWN{}{}:{:02}",
        if offset_s > 0 { "-" } else { "" },
        offset_s.abs() / 3600,
        offset_s.abs() / 60 % 60
    );
    let home = place.with("TZ", &zone).and_repository();
    let mut history = History {
        home,
        dice,
        shots: Vec::new(),
        in_trash: 0,
        offset_s,
        sums: Sums::default(),
        seed,
        log: Vec::new(),
        is_loud,
    };
    history.run_all();
    history.sums.histories = 1;
    std::mem::take(&mut history.sums)
}

impl History {
    /// Returns the folder in which things happen.
    pub fn src(&self) -> PathBuf {
        self.home.path("src")
    }

    /// Notes what is done.
    pub fn note(&mut self, what: impl Into<String>) {
        let what = what.into();
        if self.is_loud {
            eprintln!("  {what}");
        }
        self.log.push(what);
    }

    /// Runs the program; panics unless it ends with this exit code.
    #[track_caller]
    pub fn run<S: AsRef<OsStr>>(&mut self, arguments: &[S], code: i32) -> Ran {
        self.run_any(arguments, &[code])
    }

    /// Runs the program; panics unless it ends with one of these exit codes.
    #[track_caller]
    pub fn run_any<S: AsRef<OsStr>>(&mut self, arguments: &[S], codes: &[i32]) -> Ran {
        self.sums.runs += 1;
        let shown: Vec<String> = arguments
            .iter()
            .map(|argument| argument.as_ref().as_bytes().escape_ascii().to_string())
            .collect();
        self.note(format!("drumlin {}", shown.join(" ")));
        let ran = self.home.run(arguments);
        assert!(
            codes.contains(&ran.code),
            "exit code {}, standard output:\n{}standard error:\n{}",
            ran.code,
            ran.out,
            ran.err
        );
        ran
    }

    /// Runs the program with `--json`.
    #[track_caller]
    pub fn json<S: AsRef<OsStr>>(&mut self, arguments: &[S]) -> Value {
        let arguments: Vec<OsString> = arguments
            .iter()
            .map(|argument| argument.as_ref().to_owned())
            .chain(["--json".into()])
            .collect();
        self.run(&arguments, 0).json()
    }

    fn run_all(&mut self) {
        for folder in ["src", "src/a", "src/b"] {
            fs::create_dir(self.home.path(folder)).unwrap();
        }
        std::os::unix::fs::symlink("a", self.home.path("src/way")).unwrap();
        (0..6).for_each(|_| self.act("src/a"));
        for _ in 0..3 + self.dice.below(6) {
            for _ in 0..1 + self.dice.below(8) {
                let place = *self.dice.pick(&["src/a", "src/a", "src/a", "src/b"]);
                self.act(place);
            }
            if self.dice.chance(12) {
                self.link_across();
            }
            self.back_up();
            for _ in 0..1 + self.dice.below(2) {
                self.check();
            }
        }
        if self.dice.chance(50) {
            collect::check(self);
        }
    }

    /// Makes another name of a file of one source in the other one.
    fn link_across(&mut self) {
        let (from, to) = (self.home.path("src/a"), self.home.path("src/b"));
        let done = World { root: &from, dice: &mut self.dice }.link_into(&to);
        self.sums.operations += 1;
        self.note(done);
    }

    /// Does something in one of the folders of the home.
    pub fn act(&mut self, place: &str) {
        let root = self.home.path(place);
        let done = World { root: &root, dice: &mut self.dice }.act();
        self.sums.operations += 1;
        self.note(format!("{place}: {done}"));
    }

    fn check(&mut self) {
        self.sums.checks += 1;
        match self.dice.below(100) {
            0..20 => listing::check(self),
            20..32 => restore_empty::check(self),
            32..56 => restore_over::check(self),
            56..61 => archive::check(self),
            61..71 => versions::check_find(self),
            71..83 => versions::check_history(self),
            83..90 => changes::check(self),
            90..97 => sums::check(self),
            97..98 => mounted::check(self),
            _ => collect::check(self),
        }
    }

    /// Takes a snapshot, or sees that none is made where nothing changed.
    fn back_up(&mut self) {
        let same = self.shots.last().map(|shot| shot.asked.clone()).filter(|asked| {
            asked.sources.iter().all(|(path, _)| path.is_symlink() || path.exists())
        });
        let asked = match same {
            Some(asked) if self.dice.chance(65) => asked,
            _ => {
                let src = self.src();
                ask(&mut self.dice, &src)
            }
        };
        if self.dice.chance(60) {
            // So long ago that change stamps prove something.
            std::thread::sleep(Duration::from_millis(115));
        }
        let (tree, ways) = asked.expected();
        let mut arguments: Vec<OsString> = vec!["backup".into(), "--allow-empty".into()];
        arguments.extend(asked.arguments());
        if tree.is_empty() {
            // Patterns leave out each source: that is no backup.
            self.run_any(&arguments, &[1]);
            // Everything else needs a snapshot.
            if self.shots.is_empty() {
                self.back_up();
            }
            return;
        }
        arguments.extend(self.dice.chance(10).then(|| "--always-snapshot".into()));
        arguments.extend(self.dice.chance(10).then(|| "--low-memory".into()));
        arguments.extend(self.dice.chance(10).then(|| "--compression=none".into()));
        arguments.extend(self.dice.chance(10).then(|| "--read-all".into()));
        if self.dice.chance(8) {
            self.kill_one(&arguments);
            self.adopt_finished((&asked, &tree, &ways));
        }
        let before = collect::stored_bytes(self);
        // What is named and cannot be read is in the exit code, unless it is a part of another
        // source.
        let codes: &[i32] = if asked.names_special() { &[0, 3] } else { &[0] };
        let report = self.run_any(&[&arguments[..], &["--json".into()]].concat(), codes).json();
        let is_whole = !asked.names_special();
        self.sums.backups += 1;
        let stored = collect::stored_bytes(self) - before;
        assert_eq!(
            report["stats"]["bytes_stored"].as_u64(),
            Some(stored),
            "what was stored: {report:#}"
        );
        sums::check_totals(&report["stats"], &tree, &ways);
        match report["snapshot"]["id"].as_str() {
            Some(id) => self.shots.push(Shot { id: id.to_owned(), asked, tree, ways }),
            None => self.check_unchanged(&report, &tree),
        }
        self.sums.unchanged += u64::from(report["snapshot"].is_null());
        if self.dice.chance(15) && is_whole {
            self.back_up_again(&arguments);
        }
    }

    /// Begins a command and kills it after a moment.
    pub fn kill_one(&mut self, arguments: &[OsString]) {
        let wait = Duration::from_micros(500 + self.dice.below(9_000) as u64);
        self.note(format!("drumlin {} is killed after {wait:?}", arguments[0].display()));
        let mut child = self.home.spawn(arguments, Stdio::null());
        std::thread::sleep(wait);
        // It may have ended already.
        let _ = child.kill();
        child.wait().unwrap();
    }

    /// A backup that was killed may have been done: then its snapshot is as good as any.
    fn adopt_finished(&mut self, (asked, tree, ways): (&Asked, &Tree, &Tree)) {
        let told = self.json(&["snapshots"]);
        let listed = told["snapshots"].as_array().unwrap();
        let new: Vec<&str> = listed
            .iter()
            .filter_map(|one| one["id"].as_str())
            .filter(|id| self.shots.iter().all(|shot| shot.id != *id))
            .collect();
        assert!(new.len() <= 1, "{told:#}");
        let new = new.into_iter().map(|id| Shot {
            id: id.to_owned(),
            asked: asked.clone(),
            tree: tree.clone(),
            ways: ways.clone(),
        });
        self.shots.extend(new.collect::<Vec<_>>());
    }

    /// The snapshot that is said to describe everything must do so.
    fn check_unchanged(&self, report: &Value, tree: &Tree) {
        let same = self.shots.iter().find(|shot| report["unchanged_since"] == shot.id.as_str());
        let same = same.unwrap_or_else(|| {
            panic!("no snapshot was made, and none is named that was: {report:#}")
        });
        let differences = super::disk::differences(tree, &same.tree);
        assert!(differences.is_empty(), "it is said that nothing changed, but: {differences:#?}");
    }

    /// What did not change at all stores nothing.
    fn back_up_again(&mut self, arguments: &[OsString]) {
        let arguments: Vec<OsString> = arguments
            .iter()
            .filter(|argument| {
                !["--always-snapshot", "--read-all"].iter().any(|option| *argument == option)
            })
            .cloned()
            .collect();
        let before = self
            .home
            .tree("repo")
            .into_iter()
            .map(|(name, bytes)| (name, bytes.len()))
            .collect::<Vec<_>>();
        let report = self.json(&arguments);
        assert!(
            report["snapshot"].is_null(),
            "a snapshot was made though nothing changed: {report:#}"
        );
        let stored = ["chunks_new", "bytes_new_raw", "bytes_stored"]
            .map(|field| report["stats"][field].as_u64());
        assert_eq!(stored, [Some(0); 3]);
        let after = self
            .home
            .tree("repo")
            .into_iter()
            .map(|(name, bytes)| (name, bytes.len()))
            .collect::<Vec<_>>();
        assert_eq!(before, after, "something was stored though nothing changed");
    }

    /// Returns one of the snapshots; the newest often.
    pub fn any_shot(&mut self) -> usize {
        if self.dice.chance(60) { self.shots.len() - 1 } else { self.dice.below(self.shots.len()) }
    }
}

/// Returns the raw bytes of a path in JSON: of `NAME_hex` where it is not text.
pub fn path_in(value: &Value, name: &str) -> Vec<u8> {
    match value[format!("{name}_hex")].as_str() {
        Some(hex) => (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect(),
        None => value[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name} in {value}"))
            .as_bytes()
            .to_vec(),
    }
}

/// Returns `SNAP:PATH`.
pub fn snap_path(id: &str, path: &[u8]) -> OsString {
    OsString::from_vec([id.as_bytes(), b":", path].concat())
}

/// Returns a time of JSON in seconds and nanoseconds.
pub fn time_in(value: &Value) -> (i64, i64) {
    let nanos = value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_nanosecond();
    (nanos.div_euclid(1_000_000_000) as i64, nanos.rem_euclid(1_000_000_000) as i64)
}
