//! The machines of a fleet.

use std::fs;
use std::time::Instant;

use super::Done;
use crate::support::fixture::noise;
use crate::support::home::Home;

/// Bytes of a file that nobody else has, and of one that all have; in each round both are new.
const OWN_LEN_BYTES: usize = 6_000_000;
const SHARED_LEN_BYTES: usize = 2_000_000;
/// Small files, one of which is new in each round.
const SMALL_FILES: u64 = 40;
const SMALL_LEN_BYTES: usize = 5000;

/// One machine: its own source and its own cache.
pub struct Client<'a> {
    home: &'a Home,
    name: String,
    number: u64,
    round: u64,
    own: Vec<u8>,
    shared: Vec<u8>,
}

impl<'a> Client<'a> {
    /// Makes a machine and its first backup.
    pub fn start(home: &'a Home, number: u64) -> Self {
        let (own, shared) = (noise(number, OWN_LEN_BYTES), noise(u64::MAX, SHARED_LEN_BYTES));
        let mut this = Self { home, name: format!("host-{number}"), number, round: 0, own, shared };
        (0..SMALL_FILES).for_each(|file| this.write_small(file));
        this.back_up();
        this
    }

    fn write_small(&self, file: u64) {
        let content = noise((self.number << 40) + (self.round << 20) + file, SMALL_LEN_BYTES);
        self.home.write(&format!("{}/small/{file}", self.name), content);
    }

    /// Changes the source, in little time: that is not what is measured.
    fn change(&mut self) {
        self.round += 1;
        self.home
            .write(&format!("{}/own", self.name), masked(&self.own, self.number + 1, self.round));
        self.home.write(&format!("{}/shared", self.name), masked(&self.shared, 0, self.round));
        self.write_small(self.round % SMALL_FILES);
    }

    /// Takes a snapshot of a changed source.
    pub fn back_up(&mut self) -> Done {
        self.change();
        let cache = format!("cache-{}", self.number);
        let args = [
            "--cache-dir",
            &cache,
            "backup",
            "--always-snapshot",
            "--host",
            &self.name,
            &self.name,
        ];
        run(self.home, &args)
    }

    /// Takes snapshots one after the other, two at least.
    pub fn back_up_until(&mut self, until: Instant) -> Done {
        let mut done = Done::default();
        while Instant::now() < until || done.runs < 2 {
            done = done + self.back_up();
        }
        done
    }

    /// Restores the newest snapshot, which must be equal to the source.
    pub fn restores(&self) {
        let listed = self.home.json(["snapshots", "--host", &self.name, "--latest", "1"]);
        let id = listed["snapshots"][0]["id"].as_str().unwrap();
        let from = format!("{id}:{}", self.home.text(&self.name));
        self.home.run(["restore", "--quiet", &from, "--target", "back"]).ok();
        assert!(self.home.tree("back") == self.home.tree(&self.name), "{}", self.name);
        fs::remove_dir_all(self.home.path("back")).unwrap();
    }
}

/// Forgets and prunes again and again, beside the server and not at the other end of a line.
pub fn collect_until(home: &Home, number: u64, until: Instant) -> Done {
    let cache = format!("cache-of-collector-{number}");
    let mut done = Done::default();
    while Instant::now() < until {
        let forgotten = run(
            home,
            &[
                "--config",
                "near.toml",
                "--cache-dir",
                &cache,
                "forget",
                "--keep-last",
                "2",
                "--force",
            ],
        );
        let pruned =
            run(home, &["--config", "near.toml", "--cache-dir", &cache, "prune", "--trash", "0d"]);
        done = done
            + Done { runs: 1, longest: forgotten.longest + pruned.longest, ..forgotten + pruned };
    }
    done
}

/// Runs a command, which must succeed.
fn run(home: &Home, args: &[&str]) -> Done {
    let start = Instant::now();
    let requests = &home.json(args)["requests"];
    let count = |name: &str| requests[name].as_u64().unwrap();
    Done { runs: 1, objects: count("create"), bytes: count("bytes_up"), longest: start.elapsed() }
}

/// Returns bytes that do not compress and that no other pair of numbers gives. Takes far less time
/// than anything that is done with them.
fn masked(pool: &[u8], salt: u64, round: u64) -> Vec<u8> {
    let mask = noise((salt << 32) + round, 8);
    let mut bytes = pool.to_vec();
    for word in bytes.chunks_exact_mut(mask.len()) {
        word.iter_mut().zip(&mask).for_each(|(byte, mask)| *byte ^= mask);
    }
    bytes
}
