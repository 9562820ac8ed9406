//! Goal: after any loss, repair, death and prune, what a repair took out of the index stays out of
//! it, and each snapshot that any machine makes from then on is whole. Method: random histories of
//! two hosts that share content and have caches of their own, and of a third machine that forgets,
//! prunes and repairs; packs, and runs too, are lost between the operations, and any of these may
//! die at any call of the store.
//!
//! `DRUMLIN_LOSSES` sets how many histories are tried, `DRUMLIN_TEST_SEED` the first of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use drumlin::backup::{self, BackupOptions};
use drumlin::id::SnapshotId;
use drumlin::maintain::check::{CheckReport, Level};
use drumlin::maintain::prune::PruneOptions;
use drumlin::maintain::repair::{self, RepairOptions};
use drumlin::monitor::Monitor;
use drumlin::repo::{Repository, snapshots};
use drumlin::store::layers::fault::{Effect, Fault, FaultStore};
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Class, ErrorKind, Key, Store};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use crate::support::fixture::{TestRepo, fast_folder, noise, options, run_check, write};
use crate::support::operations::{at_once, prune, put_in_trash, repair_options};

const HOSTS: usize = 2;
const OPERATIONS: usize = 10;

struct History<'a> {
    repo: &'a TestRepo,
    store: Arc<MemoryStore>,
    /// Caches of the hosts, and of the machine that looks after the repository.
    caches: Vec<TempDir>,
    sources: Vec<TempDir>,
    random: SmallRng,
    /// Snapshots that lack something since a pack was lost.
    broken: BTreeSet<SnapshotId>,
    deaths: usize,
    losses: usize,
}

impl<'a> History<'a> {
    fn new(repo: &'a TestRepo, seed: u64) -> Self {
        Self {
            repo,
            store: Arc::new(repo.memory.image()),
            caches: (0..=HOSTS).map(|_| fast_folder()).collect(),
            sources: (0..HOSTS).map(|_| fast_folder()).collect(),
            random: SmallRng::seed_from_u64(seed),
            broken: BTreeSet::new(),
            deaths: 0,
            losses: 0,
        }
    }

    fn open(
        &self,
        machine: usize,
        store: Arc<dyn Store>,
    ) -> drumlin::repo::Result<Arc<Repository>> {
        self.repo.open_in(store, self.caches[machine].path())
    }

    /// Does something on a machine, which may die at any call and then does it again.
    fn with_death(&mut self, machine: usize, act: impl Fn(&Arc<Repository>) -> bool) {
        if self.random.random_bool(0.4) {
            let effect = match self.random.random_bool(0.5) {
                true => Effect::Before(ErrorKind::Other),
                false => Effect::After(ErrorKind::Other),
            };
            let call = self.random.random_range(0..60);
            let fault = Fault { action: None, class: None, call, effect, then_dead: true };
            let dying = Arc::new(FaultStore::new(self.store.clone(), vec![fault]));
            self.deaths +=
                usize::from(!self.open(machine, dying).is_ok_and(|repository| act(&repository)));
        }
        let repository = self.open(machine, self.store.clone()).unwrap();
        assert!(act(&repository), "undisturbed on machine {machine}");
    }

    fn change(&mut self, host: usize) {
        for _ in 0..2 {
            // Both hosts have files of one small pool.
            let (name, content) =
                (self.random.random_range(0..6u64), self.random.random_range(0..4u64));
            write(
                &self.sources[host].path().join(format!("d{}/f{name}", name % 2)),
                &noise(10 * name + content, 30_000),
            );
        }
    }

    fn back_up(&mut self, host: usize) {
        let source = self.sources[host].path().to_owned();
        let is_new = self.random.random_bool(0.2);
        if is_new {
            self.caches[host] = fast_folder();
        }
        self.with_death(host, |repository| {
            let usual = options(std::slice::from_ref(&source), &format!("host-{host}"));
            let options = BackupOptions { always_snapshot: true, low_memory: true, ..usual };
            backup::run(repository, options, &Monitor::default()).is_ok()
        });
    }

    fn lose(&mut self) {
        let packs = self.store.list(Class::Data, "").unwrap();
        if packs.is_empty() {
            return;
        }
        let mut names: Vec<String> = packs.into_iter().map(|object| object.name).collect();
        names.sort();
        let chosen = names.swap_remove(self.random.random_range(0..names.len()));
        self.store.remove(&Key::new(Class::Data, chosen)).unwrap();
        if self.random.random_bool(0.3) {
            let runs = self.store.list(Class::Index, "").unwrap();
            runs.into_iter()
                .for_each(|run| self.store.remove(&Key::new(Class::Index, run.name)).unwrap());
        }
        self.losses += 1;
        self.repair(false);
        self.broken = self.check().incomplete.into_iter().collect();
    }

    fn repair(&mut self, snapshots: bool) {
        self.with_death(HOSTS, |repository| {
            let options = RepairOptions { snapshots, ..repair_options(Level::Structure) };
            let plan = repair::plan(repository, &options, &Monitor::default());
            plan.and_then(|plan| plan.apply(&Monitor::default()))
                .is_ok_and(|outcome| !outcome.is_untold)
        });
    }

    /// Forgets, and prunes if nothing is lost any more.
    fn collect(&mut self) {
        let keep = self.random.random_range(1..4usize);
        let admin = self.open(HOSTS, self.store.clone()).unwrap();
        let listed = snapshots::list(&admin).unwrap();
        listed
            .iter()
            .take(listed.len().saturating_sub(keep))
            .for_each(|snapshot| put_in_trash(&admin, snapshot));
        self.with_death(HOSTS, |repository| match prune(repository, at_once()) {
            Err(error) => error.is_damage(),
            Ok(report) => !report.outrun,
        });
    }

    /// Checks on a machine that knows nothing: no run names what is lost, and nothing is incomplete
    /// but what was when it was lost.
    fn check(&self) -> CheckReport {
        let cache = fast_folder();
        let report = run_check(
            &self.repo.open_in(self.store.clone(), cache.path()).unwrap(),
            Level::Structure,
        );
        let of_packs = report
            .problems
            .items
            .iter()
            .filter(|problem| problem.object.starts_with("data/"))
            .count();
        assert_eq!(of_packs, 0, "the index names what is lost: {:#?}", report.problems.items);
        report
    }

    fn go(&mut self) {
        for _ in 0..OPERATIONS {
            match self.random.random_range(0..10) {
                0..6 => {
                    let host = self.random.random_range(0..HOSTS);
                    self.change(host);
                    self.back_up(host);
                }
                6..8 => self.collect(),
                _ => self.lose(),
            }
            let incomplete: BTreeSet<SnapshotId> = self.check().incomplete.into_iter().collect();
            let news: Vec<_> = incomplete.difference(&self.broken).collect();
            assert!(news.is_empty(), "made after the loss, and not whole: {news:?}");
        }
        self.repair(true);
        self.broken.clear();
        (0..HOSTS).for_each(|host| self.back_up(host));
        let admin = self.open(HOSTS, self.store.clone()).unwrap();
        // What backups that died have as their parents must not keep what lacks something.
        prune(&admin, PruneOptions { intent_max_age_s: -1, ..at_once() }).unwrap();
        let cache = fast_folder();
        let report =
            run_check(&self.repo.open_in(self.store.clone(), cache.path()).unwrap(), Level::Full);
        assert!(report.is_sound(), "{report:#?}");
    }
}

#[test]
fn what_is_lost_stays_out_and_what_is_made_is_whole() {
    let number = |variable: &str, usual: u64| {
        std::env::var(variable).map_or(usual, |text| text.parse().unwrap())
    };
    let (count, first) = (number("DRUMLIN_LOSSES", 60), number("DRUMLIN_TEST_SEED", 1));
    let repo = TestRepo::new();
    let (mut deaths, mut losses) = (0, 0);
    for seed in first..first + count {
        println!("history {seed}");
        let mut history = History::new(&repo, seed);
        history.go();
        deaths += history.deaths;
        losses += history.losses;
    }
    println!("{count} histories, {losses} losses, {deaths} deaths");
    assert!(
        count < 20 || losses >= count as usize && deaths >= count as usize,
        "{losses} losses, {deaths} deaths"
    );
}
