//! Goal: the commit and collection protocol holds in the real code, whoever is slow, fails or dies: eight backups, two
//! collectors that forget first, one who brings back, one who reads. On a store that replaces objects there is one collector, and
//! it keeps the restriction that belongs to that.
//! Method: a seed decides whose call of the store is next and what goes wrong with it; an observer of its own holds the
//! invariants against every state of the store. At the end everything is checked by a machine that knows nothing.
//!
//! `DRUMLIN_SEEDS` sets how many histories are tried, `DRUMLIN_TEST_SEED` the first of them; with `DRUMLIN_TRACE` every
//! turn is printed.

mod oracle;
mod scheduler;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use drumlin::backup::{self, BackupOptions};
use drumlin::id::SnapshotId;
use drumlin::maintain::check::Level;
use drumlin::maintain::prune::{self, Exclusion, PruneOptions};
use drumlin::monitor::Monitor;
use drumlin::repo::trash::{self, ForgetNote};
use drumlin::repo::{OpenOptions, Reader, Repository, snapshots};
use drumlin::store::Store;
use drumlin::store::memory::MemoryStore;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use self::oracle::Oracle;
use self::scheduler::{Scheduler, Turn, TurnStore};
use crate::fixture::{TestRepo, fast_folder, noise, now, options, run_check, secret, write};

const WRITERS: usize = 8;
const COLLECTORS: usize = 2;
/// Those, one who brings back, and one who reads.
const ACTORS: usize = WRITERS + COLLECTORS + 2;

/// What all histories begin with.
struct Beginning {
    repo: TestRepo,
    sources: Vec<PathBuf>,
}

impl Beginning {
    fn new() -> Self {
        let repo = TestRepo::new();
        let sources: Vec<PathBuf> = (0..3).map(|number| repo.scratch.path().join(format!("source-{number}"))).collect();
        for (number, source) in (0..).zip(&sources) {
            for file in 0..4 {
                // Half of the files are the same in all sources.
                let content = if file < 2 { file } else { 10 * number + file };
                write(&source.join(format!("d{}/f{file}", file % 2)), &noise(content, 700 + 300 * file as usize));
            }
        }
        for host in ["host-0", "host-1"] {
            backup::run(&repo.repository, backup_options(&sources[0], host), &Monitor::default()).unwrap();
        }
        Self { repo, sources }
    }
}

fn backup_options(source: &Path, host: &str) -> BackupOptions {
    let options = options(&[source.to_owned()], host);
    BackupOptions { always_snapshot: true, low_memory: true, threads: 1, ..options }
}

fn open(store: Arc<dyn Store>, cache: &Path) -> drumlin::repo::Result<Arc<Repository>> {
    Repository::open(store, &secret(), &OpenOptions { cache_dir: cache.to_owned(), prefer_cached: true })
}

/// What actors are told and say; each knows only its own part.
#[derive(Default)]
struct Told {
    committed: Vec<SnapshotId>,
    /// Snapshots that somebody was told are back, and that nobody forgot since.
    promised: BTreeSet<SnapshotId>,
    /// How often each was being, or was, forgotten.
    forgets: HashMap<SnapshotId, u32>,
    wrong: Vec<String>,
}

impl Told {
    fn forgets(&mut self, id: SnapshotId) {
        *self.forgets.entry(id).or_default() += 1;
        self.promised.remove(&id);
    }
}

/// One actor of one history.
struct Actor<'a> {
    number: usize,
    store: Arc<TurnStore>,
    cache: TempDir,
    random: SmallRng,
    beginning: &'a Beginning,
    exclusion: Exclusion,
    told: &'a Mutex<Told>,
}

impl Actor<'_> {
    fn act(&mut self) {
        for _ in 0..self.random.random_range(1..3) {
            let done = match self.number {
                0..WRITERS => self.back_up(),
                WRITERS => self.collect(),
                number if number < WRITERS + COLLECTORS && self.exclusion == Exclusion::Store => self.collect(),
                number if number == WRITERS + COLLECTORS => self.bring_back(),
                _ => self.read(),
            };
            if let Err(error) = done
                && !self.store.is_hurt()
            {
                self.told.lock().unwrap().wrong.push(format!("actor {} failed undisturbed: {error}", self.number));
            }
        }
        self.store.scheduler.finish(self.number);
    }

    fn back_up(&mut self) -> Result<(), String> {
        let repository = open(self.store.clone(), self.cache.path()).map_err(said)?;
        let source = &self.beginning.sources[self.random.random_range(0..3)];
        let options = backup_options(source, &format!("host-{}", self.number % 5));
        let report = backup::run(&repository, options, &Monitor::default()).map_err(said)?;
        self.told.lock().unwrap().committed.push(report.snapshot.unwrap().id);
        Ok(())
    }

    fn collect(&mut self) -> Result<(), String> {
        let repository = open(self.store.clone(), self.cache.path()).map_err(said)?;
        let listed = snapshots::list(&repository).map_err(said)?;
        for _ in 0..self.random.random_range(0..3usize).min(listed.len()) {
            let chosen = &listed[self.random.random_range(0..listed.len())];
            let word = str::to_owned;
            let note = ForgetNote { host: word("h"), user: word("u"), program: word("p"), now: now(), reason: word("named") };
            self.told.lock().unwrap().forgets(chosen.id);
            // It may be gone by now: another collector was quicker.
            let _ = trash::forget(&repository, &chosen.id, Some(snapshots::chain_hash(chosen)), &note);
            self.told.lock().unwrap().forgets(chosen.id);
        }
        let options = PruneOptions {
            exclusion: self.exclusion,
            trash_window_s: 0,
            max_unused_permille: self.random.random_range(0..100),
            grace_s: 0,
            intent_max_age_s: if self.random.random_bool(0.3) { -1 } else { 3600 },
            low_memory: true,
            ..PruneOptions::new(now())
        };
        prune::run(&repository, &options, &Monitor::default()).map(drop).map_err(said)
    }

    fn bring_back(&mut self) -> Result<(), String> {
        let repository = open(self.store.clone(), self.cache.path()).map_err(said)?;
        let forgotten = snapshots::listing(&repository).map_err(said)?.forgotten;
        if forgotten.is_empty() {
            return Ok(());
        }
        let id = forgotten[self.random.random_range(0..forgotten.len())].tombstone.snapshot;
        let before = self.told.lock().unwrap().forgets.get(&id).copied();
        // Too late is a fair answer; success is a promise, unless somebody forgets it at the same time.
        let is_exclusive = || Ok(self.exclusion == Exclusion::Store);
        let is_back = trash::undelete(&repository, &id, i64::MAX, now(), &is_exclusive).is_ok();
        let mut told = self.told.lock().unwrap();
        if is_back && told.forgets.get(&id).copied() == before {
            told.promised.insert(id);
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), String> {
        let repository = open(self.store.clone(), self.cache.path()).map_err(said)?;
        let listed = snapshots::list(&repository).map_err(said)?;
        if listed.is_empty() {
            return Ok(());
        }
        let chosen = &listed[self.random.random_range(0..listed.len())];
        let read = Reader::new(&repository).and_then(|reader| read_all(&reader, &chosen.root));
        match read {
            // It was dropped while it was read.
            Err(_) if self.store.inner.stat(&drumlin::repo::names::snapshot_key(&chosen.id)).is_err() => Ok(()),
            read => read.map_err(said),
        }
    }
}

fn read_all(reader: &Arc<Reader>, dir: &drumlin::id::ChunkId) -> drumlin::repo::Result<()> {
    use drumlin::format::entry::{Content, Ref};
    let trees = drumlin::repo::Trees::new(reader.clone());
    for entry in trees.entries(dir) {
        let content = entry?.entry.content;
        if let Content::Tree(below) = content {
            read_all(reader, &below)?;
            continue;
        }
        for piece in trees.refs(&content) {
            if let Ref::Data { id, .. } = piece? {
                reader.read_chunk(drumlin::format::container::ChunkKind::Data, &id)?;
            }
        }
    }
    Ok(())
}

/// Says an error with its causes.
fn said(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Plays one history; returns how many turns it took, or what went wrong.
fn play(beginning: &Beginning, exclusion: Exclusion, seed: u64) -> Result<u64, String> {
    let mut random = SmallRng::seed_from_u64(seed);
    let memory = Arc::new(beginning.repo.memory.image());
    if exclusion == Exclusion::User {
        memory.replace_objects();
    }
    let scheduler = Scheduler::new(ACTORS);
    let told = Mutex::new(Told::default());
    let observer_cache = fast_folder();
    let observer = open(memory.clone(), observer_cache.path()).map_err(said)?;
    let mut oracle = Oracle::new(memory.clone(), observer);
    oracle.observe()?;
    let faults = [0.0, 0.01, 0.04][random.random_range(0..3)];
    let (mut turns, is_traced) = (0, std::env::var_os("DRUMLIN_TRACE").is_some());
    std::thread::scope(|scope| {
        for number in 0..ACTORS {
            let store = TurnStore::new(memory.clone(), scheduler.clone(), number);
            let random = SmallRng::seed_from_u64(seed ^ (1000 + number as u64) << 32);
            let mut actor = Actor { number, store, cache: fast_folder(), random, beginning, exclusion, told: &told };
            scope.spawn(move || actor.act());
        }
        let mut outcome = Ok(());
        loop {
            let calls = scheduler.calls();
            if outcome.is_ok() {
                outcome = oracle.observe();
            }
            if calls.is_empty() {
                break outcome;
            }
            turns += 1;
            let turn = match random.random_range(0..3) {
                _ if !random.random_bool(faults) => Turn::Go,
                0 => Turn::Fail,
                1 => Turn::Lose,
                _ => Turn::Die,
            };
            // After a violation everybody dies, so that the history ends.
            let (chosen, turn) = (random.random_range(0..calls.len()), if outcome.is_ok() { turn } else { Turn::Die });
            if is_traced {
                println!("{turns} {turn:?} {:?}", calls[chosen]);
            }
            scheduler.give(chosen, turn);
        }
    })?;
    let told = told.into_inner().unwrap();
    if let Some(wrong) = told.wrong.first() {
        return Err(wrong.clone());
    }
    if let Some(id) = told.committed.iter().find(|id| !oracle.was_committed(id)) {
        return Err(format!("snapshot {id} was reported and never existed"));
    }
    let live = oracle.live();
    if let Some(id) = told.promised.iter().find(|id| !live.contains(id)) {
        return Err(format!("snapshot {id} was said to be back and is not"));
    }
    end(beginning, exclusion, memory, &mut oracle)?;
    Ok(turns)
}

/// Whatever was left behind, a collection and a backup work at once, and everything is whole.
fn end(beginning: &Beginning, exclusion: Exclusion, memory: Arc<MemoryStore>, oracle: &mut Oracle) -> Result<(), String> {
    let cache = fast_folder();
    let repository = open(memory, cache.path()).map_err(said)?;
    let options = PruneOptions { exclusion, grace_s: 0, low_memory: true, ..PruneOptions::new(now()) };
    prune::run(&repository, &options, &Monitor::default()).map_err(said)?;
    oracle.observe()?;
    backup::run(&repository, backup_options(&beginning.sources[1], "end"), &Monitor::default()).map_err(said)?;
    oracle.observe()?;
    let report = run_check(&repository, Level::Full);
    if report.is_sound() { Ok(()) } else { Err(format!("{report:#?}")) }
}

#[test]
fn every_history_keeps_the_invariants() {
    play_all(Exclusion::Store, 200);
}

/// Every name has one author, so nothing is ever replaced there but tombstones.
#[test]
fn every_history_on_a_store_that_replaces_keeps_them_too() {
    play_all(Exclusion::User, 100);
}

/// Plays many histories, `usual` if nothing else is asked for.
fn play_all(exclusion: Exclusion, usual: u64) {
    let number = |variable, usual| std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (first, count): (u64, u64) = (number("DRUMLIN_TEST_SEED", 1), number("DRUMLIN_SEEDS", usual));
    let beginning = Beginning::new();
    let (next, turns, wrong) = (AtomicU64::new(first), AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < first + count) {
                    match play(&beginning, exclusion, seed) {
                        Ok(taken) => drop(turns.fetch_add(taken, Ordering::Relaxed)),
                        Err(error) => wrong.lock().unwrap().push(format!("seed {seed}: {error}")),
                    }
                }
            });
        }
    });
    println!("{count} histories from seed {first}, {} turns", turns.into_inner());
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} violations:\n{}", wrong.len(), wrong.join("\n"));
}
