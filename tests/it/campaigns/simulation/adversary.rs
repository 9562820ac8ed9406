//! An adversary at the store: it hides what it likes, puts back whatever it ever saw, and has
//! copies of the repository that went their own way, whose owner has a key. No honest command
//! destroys what a listing shows, what a chain proves, or what its machine remembers, and that
//! nobody forgot.
//!
//! Three things this format cannot tell, and they are left out: what would be true without a
//! tombstone or a protection; a verdict on record explains where a snapshot went that it names, be
//! it of a copy; and the newest snapshot that is hidden from a machine which never saw it, before
//! any other names it, never was.
//!
//! `DRUMLIN_ADVERSARY_SEEDS` sets how many histories are tried.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drumlin::backup;
use drumlin::format::entry::Timestamp;
use drumlin::format::generation::{Condemned, Removal, Victim};
use drumlin::format::run::PackClass;
use drumlin::format::snapshot::Snapshot;
use drumlin::id::SnapshotId;
use drumlin::maintain::check::{self, CheckOptions, Level};
use drumlin::maintain::prune::{self, PruneOptions};
use drumlin::monitor::Monitor;
use drumlin::repo::gc::generations;
use drumlin::repo::objects::layout;
use drumlin::repo::snapshots::trash::{self, ForgetNote, TRASH_WINDOW_S};
use drumlin::repo::snapshots::{self, protect};
use drumlin::repo::{Error, Repository};
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Class, Key, Store};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::actors::SimulatedClock;
use super::{Beginning, backup_options, for_each_seed};

/// How many histories are tried if nothing else is asked for.
const SEEDS: u64 = 150;
const DAY_S: i64 = 24 * 3600;

/// A history with an adversary.
struct Struggle<'a> {
    beginning: &'a Beginning,
    seed: u64,
    random: SmallRng,
    clock: Arc<SimulatedClock>,
    store: Arc<MemoryStore>,
    /// Machines with local copies of their own; the last one is new each time.
    machines: Vec<Arc<Repository>>,
    /// What each machine has seen.
    known: Vec<BTreeSet<SnapshotId>>,
    /// Every object that there ever was, as it was first, which the adversary kept.
    kept: BTreeMap<Key, Vec<u8>>,
    /// What it took away and did not put back.
    hidden: BTreeSet<Key>,
    /// Snapshots that nobody forgot, and those that are protected.
    owed: BTreeMap<SnapshotId, Snapshot>,
    protected: BTreeSet<SnapshotId>,
    happened: BTreeMap<&'static str, u64>,
    /// Snapshots that records name which were added.
    explained: BTreeSet<SnapshotId>,
    /// What happened, in order.
    trace: Vec<String>,
    /// Whether something was collected that nobody could know of, and that later snapshots may
    /// build upon.
    is_tainted: bool,
}

impl<'a> Struggle<'a> {
    fn new(beginning: &'a Beginning, seed: u64) -> Self {
        let store = Arc::new(beginning.repo.memory.image());
        let clock = Arc::new(SimulatedClock::default());
        clock.pass(3600);
        store.set_clock(clock.now().seconds);
        let machines: Vec<_> = (0..2)
            .map(|number| {
                beginning.repo.repository.in_simulation(store.clone(), (seed << 8) | number)
            })
            .collect();
        let mut struggle = Self {
            beginning,
            seed,
            random: SmallRng::seed_from_u64(seed),
            clock,
            known: vec![BTreeSet::new(); machines.len()],
            machines,
            store,
            kept: BTreeMap::new(),
            hidden: BTreeSet::new(),
            owed: BTreeMap::new(),
            protected: BTreeSet::new(),
            happened: BTreeMap::new(),
            explained: BTreeSet::new(),
            trace: Vec::new(),
            is_tainted: false,
        };
        let first = struggle.new_machine(99);
        struggle.owed = snapshots::list(&first)
            .unwrap()
            .into_iter()
            .map(|snapshot| (snapshot.id, snapshot))
            .collect();
        struggle
    }

    fn new_machine(&self, number: u64) -> Arc<Repository> {
        self.beginning.repo.repository.in_simulation(self.store.clone(), (self.seed << 8) | number)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn note(&self) -> ForgetNote {
        let word = str::to_owned;
        ForgetNote {
            host: word("h"),
            user: word("u"),
            program: word("p"),
            now: self.now(),
            reason: word("named"),
        }
    }

    fn count(&mut self, what: &'static str) {
        self.trace.push(what.to_owned());
        *self.happened.entry(what).or_default() += 1;
    }

    fn keep_all(&mut self) {
        for key in self.store.keys() {
            let bytes = self.store.read(&key).unwrap();
            self.kept.entry(key).or_insert(bytes);
        }
    }

    fn play(&mut self) -> Result<(), String> {
        for round in 0..14 {
            self.clock.pass(self.random.random_range(1..9) * DAY_S);
            self.store.set_clock(self.now().seconds);
            self.keep_all();
            match self.random.random_range(0..10) {
                0..3 => self.back_up(round),
                3 => self.forget_one(),
                4 => self.protect_one(),
                _ => self.attack(round),
            }
            self.keep_all();
            self.collect(round)?;
        }
        // All that was hidden comes back: nothing was destroyed.
        self.put_all_back();
        self.assert_whole(&self.owed.keys().copied().collect(), "at the end")
    }

    fn back_up(&mut self, round: u64) {
        let number = self.random.random_range(0..self.machines.len());
        let source = self.random.random_range(0..self.beginning.sources.len());
        let host = format!("host-{}", self.random.random_range(0..2));
        let options = backup_options(self.beginning, source, &host, &self.clock);
        match backup::run(&self.machines[number], options, &Monitor::default()) {
            Ok(report) => {
                let snapshot = report.snapshot.unwrap();
                let before = snapshot.previous.map(|hash| {
                    self.owed
                        .values()
                        .find(|one| snapshots::chain_hash(one) == hash)
                        .map(|one| one.id)
                });
                self.trace.push(format!(
                    "{} by {number} of {host}, parent {:?}, after {before:?}",
                    snapshot.id, snapshot.parent
                ));
                self.known[number].insert(snapshot.id);
                if self.is_tainted && self.assert_whole(&[snapshot.id].into(), "").is_err() {
                    // It builds upon a parent that was hidden while others collected.
                    self.count("built upon what is gone");
                    return;
                }
                self.owed.insert(snapshot.id, snapshot);
                self.count("backup");
            }
            Err(error) => {
                assert!(!self.hidden.is_empty() || round > 0, "undisturbed: {error:?}");
                self.count("backup stopped");
            }
        }
    }

    /// Returns whether the store shows a snapshot. A collector fills the slot of one that is hidden
    /// from it, and whose intent is too old.
    fn shows(&self, id: &SnapshotId) -> bool {
        let slot = layout::snapshot_key(id);
        self.store.read(&slot).is_ok_and(|bytes| self.kept.get(&slot) == Some(&bytes))
    }

    fn any_owed(&mut self) -> Option<Snapshot> {
        let all: Vec<Snapshot> =
            self.owed.values().filter(|one| self.shows(&one.id)).cloned().collect();
        (!all.is_empty()).then(|| all[self.random.random_range(0..all.len())].clone())
    }

    fn forget_one(&mut self) {
        let Some(snapshot) = self.any_owed().filter(|one| !self.protected.contains(&one.id)) else {
            return;
        };
        let machine = self.new_machine(100);
        if trash::forget(
            &machine,
            &snapshot.id,
            Some(snapshots::chain_hash(&snapshot)),
            &self.note(),
        )
        .is_ok()
        {
            self.owed.remove(&snapshot.id);
            self.count("forgotten");
        }
    }

    /// Forgets, brings back and protects: the adversary has seen the tombstone.
    fn protect_one(&mut self) {
        let Some(snapshot) = self.any_owed() else {
            return;
        };
        let (machine, hash) = (self.new_machine(101), snapshots::chain_hash(&snapshot));
        if !self.protected.contains(&snapshot.id)
            && trash::forget(&machine, &snapshot.id, Some(hash), &self.note()).is_ok()
        {
            self.keep_all();
            let back =
                trash::undelete(&machine, &snapshot.id, TRASH_WINDOW_S, self.now(), &|| Ok(true));
            if back.is_ok() && protect::protect(&machine, &snapshot.id, hash, &self.note()).is_ok()
            {
                self.protected.insert(snapshot.id);
                self.count("protected");
            } else {
                self.owed.remove(&snapshot.id);
            }
        }
    }

    fn attack(&mut self, round: u64) {
        match self.random.random_range(0..6) {
            0 | 1 => self.hide(),
            2 => self.put_back(),
            3 => self.replay_tombstone(),
            4 => self.add_records_of_a_copy(round),
            _ => self.forge(),
        }
    }

    fn hide(&mut self) {
        // Protections and tombstones have no chain in this format: without them something else is
        // true.
        let is_free = |id: SnapshotId| !self.explained.contains(&id);
        let is_slot = |key: &Key| {
            key.class == Class::Snapshots && SnapshotId::from_hex(&key.name).is_some_and(is_free)
        };
        let keys: Vec<Key> = self.store.keys().into_iter().filter(is_slot).collect();
        if !keys.is_empty() {
            let key = keys[self.random.random_range(0..keys.len())].clone();
            self.store.remove(&key).unwrap();
            self.trace.push(format!("{key}"));
            self.hidden.insert(key);
            self.count("hidden");
        }
    }

    fn put_back(&mut self) {
        let Some(key) = self.hidden.pop_first() else {
            return;
        };
        self.store.overwrite(&key, &self.kept[&key]);
        self.count("put back");
    }

    fn put_all_back(&mut self) {
        for key in std::mem::take(&mut self.hidden) {
            self.store.overwrite(&key, &self.kept[&key]);
        }
    }

    /// With a time of the store's that is long past.
    fn replay_tombstone(&mut self) {
        let replayed = self.protected.iter().find_map(|id| {
            Some((layout::tombstone_key(id), self.kept.get(&layout::tombstone_key(id))?))
        });
        if let Some((key, bytes)) = replayed {
            self.store.set_clock(self.clock.now().seconds - 100 * DAY_S);
            self.store.overwrite(&key, bytes);
            self.store.set_clock(self.clock.now().seconds);
            self.count("replayed");
        }
    }

    /// The owner of a copy forgets and collects there; what this decides is added here, whole or in
    /// part.
    fn add_records_of_a_copy(&mut self, round: u64) {
        let copy = Arc::new(self.store.image());
        let owner = self
            .beginning
            .repo
            .repository
            .in_simulation(copy.clone(), (self.seed << 8) | (150 + round));
        let Ok(listed) = snapshots::list(&owner) else {
            return;
        };
        for snapshot in listed.iter().take(2) {
            self.explained.insert(snapshot.id);
            let _ = protect::unprotect(&owner, &snapshot.id);
            let _ = trash::forget(
                &owner,
                &snapshot.id,
                Some(snapshots::chain_hash(snapshot)),
                &self.note(),
            );
        }
        let options =
            PruneOptions { trash_window_s: 0, max_unused_permille: 0, ..prune_options(self.now()) };
        if prune::run(&owner, &options, &Monitor::default()).is_err() {
            return;
        }
        let with_end = self.random.random_bool(0.2);
        for key in copy.keys().into_iter().filter(|key| key.class == Class::Collector) {
            if (with_end || !key.name.ends_with(".done")) && self.store.stat(&key).is_err() {
                self.store.overwrite(&key, &copy.read(&key).unwrap());
            }
        }
        self.count("records of a copy");
    }

    /// Somebody with a key opens a generation, and decides it or not.
    fn forge(&mut self) {
        let forger = self.new_machine(120);
        let Ok(all) = generations::Generations::list(&forger) else {
            return;
        };
        let pack = |key: &Key| {
            Some(Victim { class: class_of(key.class)?, name: layout::object_id(&key.name)? })
        };
        let mut packs: Vec<Victim> = self
            .store
            .keys()
            .iter()
            .filter_map(pack)
            .filter(|_| self.random.random_bool(0.3))
            .collect();
        packs.sort();
        let visible: Vec<SnapshotId> =
            self.owed.keys().copied().filter(|id| self.shows(id)).collect();
        let snapshots: Vec<SnapshotId> =
            visible.iter().filter(|_| self.random.random_bool(0.2)).copied().collect();
        self.explained.extend(&snapshots);
        let (removal, number) = (Removal { packs, snapshots }, all.highest() + 1);
        let condemned = Condemned { oldest: 1, removal: removal.clone() };
        let _ = generations::condemn(&forger, number, self.now(), condemned);
        if self.random.random_bool(0.7) {
            let _ = generations::decide(&forger, number, self.now(), Some(removal));
        }
        self.count("forged");
    }

    /// Some machine collects; whatever it says, what it could know of is whole.
    fn collect(&mut self, round: u64) -> Result<(), String> {
        let number = self.random.random_range(0..self.machines.len() + 1);
        let machine =
            self.machines.get(number).cloned().unwrap_or_else(|| self.new_machine(200 + round));
        let mut must = self.provable();
        self.trace.push(format!(
            "round {round}, {number} collects, provable {must:?}, known {:?}",
            self.known.get(number)
        ));
        must.extend(
            self.known.get(number).into_iter().flatten().filter(|id| self.owed.contains_key(*id)),
        );
        let options = PruneOptions { max_unused_permille: 0, ..prune_options(self.now()) };
        match prune::run(&machine, &options, &Monitor::default()) {
            Ok(report) => {
                self.count(if report.removed_packs > 0 {
                    "collected"
                } else {
                    "nothing to collect"
                });
                if let Some(known) = self.known.get_mut(number) {
                    let listed = self.store.list(Class::Snapshots, "").unwrap();
                    known.extend(
                        listed.iter().filter_map(|object| SnapshotId::from_hex(&object.name)),
                    );
                }
                // What it had no way to know of may be gone now.
                let unknowable: Vec<SnapshotId> =
                    self.owed.keys().filter(|id| !must.contains(*id)).copied().collect();
                self.is_tainted |= !unknowable.is_empty();
                self.trace.push(format!(
                    "collected by {number} {:?}, could not know of {unknowable:?}",
                    report.generations
                ));
                unknowable.iter().for_each(|id| drop(self.owed.remove(id)));
            }
            Err(Error::RolledBack { .. }) => self.count("went back in time"),
            Err(Error::Unjustified { .. }) => {
                self.count("refused a verdict");
                // As the documentation says, by hand.
                let highest =
                    generations::Generations::list(&self.new_machine(250)).unwrap().highest();
                ["condemned", "verdict"].iter().for_each(|word| {
                    self.store.remove(&layout::generation_key(highest, word)).unwrap()
                });
                self.machines = (0..2).map(|at| self.new_machine(1000 + 10 * round + at)).collect();
                self.known.iter_mut().for_each(BTreeSet::clear);
            }
            Err(_) => self.count("stopped"),
        }
        self.assert_whole(&must, &format!("in round {round}"))
    }

    /// Snapshots that the listing shows or a chain proves, and that nobody forgot.
    fn provable(&self) -> BTreeSet<SnapshotId> {
        let visible: Vec<&Snapshot> =
            self.owed.values().filter(|one| self.shows(&one.id)).collect();
        let named: BTreeSet<[u8; 32]> = visible.iter().filter_map(|one| one.previous).collect();
        let is_proven =
            |one: &&Snapshot| self.shows(&one.id) || named.contains(&snapshots::chain_hash(one));
        self.owed.values().filter(is_proven).map(|one| one.id).collect()
    }

    /// Whatever the adversary hides is put back, and a new machine reads all of these.
    fn assert_whole(&self, must: &BTreeSet<SnapshotId>, when: &str) -> Result<(), String> {
        let image = Arc::new(self.store.image());
        for key in &self.hidden {
            image.overwrite(key, &self.kept[key]);
        }
        let machine =
            self.beginning.repo.repository.in_simulation(image.clone(), (self.seed << 8) | 255);
        let options = CheckOptions { level: Level::Structure, threads: 1, now: self.now() };
        let report = check::run(&machine, &options, &Monitor::default()).map_err(super::said)?;
        for id in must {
            let is_there = image.stat(&layout::snapshot_key(id)).is_ok();
            if !is_there || report.incomplete.contains(id) {
                return Err(format!(
                    "{when} snapshot {id} was destroyed (there: {is_there}):\n{}",
                    self.trace.join("\n")
                ));
            }
        }
        Ok(())
    }
}

fn class_of(class: Class) -> Option<PackClass> {
    match class {
        Class::Data => Some(PackClass::Data),
        Class::Meta => Some(PackClass::Meta),
        _ => None,
    }
}

fn prune_options(now: Timestamp) -> PruneOptions {
    PruneOptions { grace_s: 0, low_memory: true, ..PruneOptions::new(now) }
}

#[test]
fn no_honest_command_destroys_what_can_be_known() {
    let number = |variable, usual: u64| {
        std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    let (first, count) = (number("DRUMLIN_TEST_SEED", 1), number("DRUMLIN_ADVERSARY_SEEDS", SEEDS));
    let beginning = Beginning::new();
    let all = std::sync::Mutex::new((BTreeMap::<&str, u64>::new(), Vec::new()));
    for_each_seed(first..first + count, |seed| {
        let mut struggle = Struggle::new(&beginning, seed);
        let outcome = struggle.play();
        let mut all = all.lock().unwrap();
        struggle.happened.iter().for_each(|(what, times)| *all.0.entry(what).or_insert(0) += times);
        all.1.extend(outcome.err().map(|error| format!("seed {seed}: {error}")));
    });
    let (happened, wrong) = all.into_inner().unwrap();
    println!("{count} histories, {} violations, {happened:?}", wrong.len());
    assert!(wrong.is_empty(), "{} violations:\n{}", wrong.len(), wrong.join("\n"));
    for what in [
        "backup",
        "hidden",
        "replayed",
        "records of a copy",
        "forged",
        "collected",
        "went back in time",
        "refused a verdict",
    ] {
        assert!(happened.contains_key(what), "{what} never happened: {happened:?}");
    }
}
