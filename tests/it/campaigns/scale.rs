//! Goal: a fleet on one repository stays closed and small over a month, whatever fails. Method:
//! hosts that back up hourly and a collector that forgets and prunes daily, at the same time, on a
//! simulated clock; one call of a host in a thousand fails, of a collector, which makes thousands,
//! one in 20,000, before or after its effect; and one process in a hundred dies at a call. After
//! each day everything is read back by a machine that knows nothing, and what nothing needs is
//! weighed.
//!
//! `DRUMLIN_SCALE_DAYS` and `DRUMLIN_SCALE_HOSTS` make it long (`make scale-long`).

use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use drumlin::backup::{self, BackupOptions};
use drumlin::format::entry::Timestamp;
use drumlin::maintain::check::{self, CheckOptions, Level};
use drumlin::maintain::forget::{self, Scope};
use drumlin::maintain::prune::{self, PruneOptions};
use drumlin::monitor::Monitor;
use drumlin::repo::snapshots;
use drumlin::repo::snapshots::trash::ForgetNote;
use drumlin::retention::Policy;
use drumlin::store::layers;
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Class, ErrorKind, Key, Listed, Store, StoreError};
use jiff::tz::TimeZone;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use crate::support::fixture::{TestRepo, fast_folder, noise, options, write};

/// Seconds since 1970 by everybody's clock.
static NOW: AtomicI64 = AtomicI64::new(1_780_000_000);

fn clock() -> Timestamp {
    Timestamp { seconds: NOW.load(Ordering::SeqCst), nanos: 0 }
}

/// A store that fails now and then, and whose process dies now and then.
struct Unsteady {
    inner: Arc<MemoryStore>,
    random: Mutex<SmallRng>,
    /// One call of so many fails.
    fault_every: u32,
    /// Calls until the process dies.
    life: AtomicI64,
    faults: Arc<AtomicU64>,
}

impl Unsteady {
    fn new(
        repo: &TestRepo,
        random: &mut SmallRng,
        fault_every: u32,
        faults: &Arc<AtomicU64>,
    ) -> Arc<Self> {
        let life = if random.random_ratio(1, 100) { random.random_range(0..20) } else { i64::MAX };
        let own = Mutex::new(SmallRng::seed_from_u64(random.random()));
        let (life, faults) = (AtomicI64::new(life), faults.clone());
        Arc::new(Self { inner: repo.memory.clone(), random: own, fault_every, life, faults })
    }

    fn call<T>(
        &self,
        call: impl FnOnce(&MemoryStore) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let dead = self.life.fetch_sub(1, Ordering::SeqCst) <= 0;
        let (fails, is_done) = {
            let mut random = self.random.lock().unwrap();
            (dead || random.random_ratio(1, self.fault_every), !dead && random.random())
        };
        if !fails {
            return call(&self.inner);
        }
        self.faults.fetch_add(1, Ordering::Relaxed);
        if is_done {
            call(&self.inner)?;
        }
        let words = String::new;
        Err(StoreError {
            kind: ErrorKind::Other,
            action: "use",
            location: words(),
            object: words(),
            source: "fault".into(),
        })
    }
}

impl layers::Layer for Unsteady {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.call(|inner| inner.list(class, prefix))
    }

    fn stat(&self, key: &Key) -> Result<u64, StoreError> {
        self.call(|inner| inner.stat(key))
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        self.call(|inner| inner.read_into(key, range, out))
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        self.call(|inner| inner.read(key))
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.call(|inner| inner.create(key, bytes))
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.call(|inner| inner.remove(key))
    }
}

struct Host {
    name: String,
    source: TempDir,
    cache: TempDir,
    random: SmallRng,
}

#[derive(Default)]
struct Counts {
    backups: AtomicU64,
    failed: AtomicU64,
    faults: Arc<AtomicU64>,
}

impl Host {
    /// Some files that all hosts have, some of its own.
    fn new(number: u64) -> Self {
        let host = Self {
            name: format!("host{number}"),
            source: fast_folder(),
            cache: fast_folder(),
            random: SmallRng::seed_from_u64(number),
        };
        for file in 0..4 {
            write(&host.source.path().join(format!("system/{file}")), &noise(file, 20_000));
        }
        write(&host.source.path().join("own/first"), &noise(1000 + number, 20_000));
        host
    }

    /// Changes a file or two, and backs up; what fails is made up for an hour later.
    fn work(&mut self, repo: &TestRepo, counts: &Counts) {
        let (file, seed) = (self.random.random_range(0..6), self.random.random());
        write(&self.source.path().join(format!("own/{file}")), &noise(seed, 5_000));
        let store = Unsteady::new(repo, &mut self.random, 1000, &counts.faults);
        let backup = repo.open_in(store, self.cache.path()).is_ok_and(|repository| {
            let path = self.source.path().to_owned();
            let options = BackupOptions {
                low_memory: true,
                threads: 1,
                clock: Arc::new(clock),
                ..options(&[path], &self.name)
            };
            backup::run(&repository, options, &Monitor::default()).is_ok()
        });
        let count = if backup { &counts.backups } else { &counts.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn prune_options() -> PruneOptions {
    PruneOptions {
        low_memory: true,
        threads: 1,
        trash_window_s: 2 * 24 * 3600,
        ..PruneOptions::new(clock())
    }
}

/// Forgets and prunes, again and again until it succeeds: each attempt goes on where the last one
/// was stopped.
fn collect(repo: &TestRepo, cache: &TempDir, random: &mut SmallRng, counts: &Counts) {
    let mut policy = Policy::default();
    policy.add("hourly 12, daily 7, weekly 4").unwrap();
    for attempt in 0.. {
        assert!(attempt < 200, "the collector does not come through");
        let Ok(repository) =
            repo.open_in(Unsteady::new(repo, random, 20_000, &counts.faults), cache.path())
        else {
            continue;
        };
        let forgotten = snapshots::listing(&repository).and_then(|listing| {
            let now_s = clock().seconds;
            let plan = forget::plan_policy(&listing, &Scope::USUAL, &policy, &TimeZone::UTC, now_s);
            let word = str::to_owned;
            let note = ForgetNote {
                host: word("h"),
                user: word("u"),
                program: word("p"),
                now: clock(),
                reason: word("policy"),
            };
            forget::apply(&repository, &plan, &note, &Monitor::default())
        });
        let pruned =
            forgotten.and_then(|_| prune::run(&repository, &prune_options(), &Monitor::default()));
        if pruned.is_ok_and(|report| !report.outrun) {
            return;
        }
    }
}

/// Reads everything back on a machine that knows nothing; returns stored bytes, and how many in
/// 1,000 of them nothing needs.
fn examine(repo: &TestRepo) -> (u64, u64) {
    let cache = fast_folder();
    let repository = repo.open_in(repo.memory.clone(), cache.path()).unwrap();
    let report = check::run(
        &repository,
        &CheckOptions { level: Level::Full, threads: 2, now: clock() },
        &Monitor::default(),
    );
    let report = report.unwrap();
    assert!(report.is_sound(), "{report:#?}");
    let plan = prune::run(
        &repository,
        &PruneOptions { dry_run: true, ..prune_options() },
        &Monitor::default(),
    )
    .unwrap()
    .remaining;
    let unused =
        plan.dead_bytes + plan.young_bytes + plan.left_unused_bytes + plan.repack_unused_bytes;
    (plan.total_bytes, unused * 1000 / plan.total_bytes)
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn a_month_of_a_fleet() {
    let (days, hosts) = (number("DRUMLIN_SCALE_DAYS", 4), number("DRUMLIN_SCALE_HOSTS", 6));
    let repo = TestRepo::new();
    let started = Instant::now();
    let counts = Counts::default();
    let mut fleet: Vec<Host> = (0..hosts).map(Host::new).collect();
    let (admin, mut random) = (fast_folder(), SmallRng::seed_from_u64(77));
    for day in 0..days {
        for hour in 0..24 {
            repo.memory.set_clock(NOW.fetch_add(3600, Ordering::SeqCst) + 3600);
            let (first, second) = fleet.split_at_mut(hosts as usize / 2);
            thread::scope(|scope| {
                for half in [first, second] {
                    scope.spawn(|| half.iter_mut().for_each(|host| host.work(&repo, &counts)));
                }
                if hour == 23 {
                    // At the same time.
                    collect(&repo, &admin, &mut random, &counts);
                }
            });
        }
        collect(&repo, &admin, &mut random, &counts);
        let (bytes, unused_permille) = examine(&repo);
        let (done, failed) =
            (counts.backups.load(Ordering::Relaxed), counts.failed.load(Ordering::Relaxed));
        let faults = counts.faults.load(Ordering::Relaxed);
        println!(
            "day {}: {done} backups, {failed} failed, {faults} faults; {bytes} bytes, {unused_permille} in 1,000 unused; {} snapshots; {:.0} s",
            day + 1,
            snapshots::list(&repo.open()).unwrap().len(),
            started.elapsed().as_secs_f64()
        );
        assert!(unused_permille <= 100, "{unused_permille} in 1,000 bytes are unused");
    }
    let (done, failed) = (counts.backups.into_inner(), counts.failed.into_inner());
    assert_eq!(done + failed, days * hosts * 24);
    assert!(done > 20 * failed && failed > 0, "{failed} of {done} backups failed");
}
