//! Goal: the commit and collection protocol holds in the real code if any actor is slow, fails or
//! dies. The actors: eight backups, two collectors that forget first, one undelete, one reader; in
//! some histories one backup sleeps for months. On a store that replaces objects there is one
//! collector, and it keeps the restriction that belongs to that. Method: a seed decides whose call
//! of the store is next and what goes wrong with it; an observer of its own holds the invariants
//! against every state of the store. At the end everything is checked by a machine that knows
//! nothing.
//!
//! `DRUMLIN_SEEDS` sets how many histories are tried, `DRUMLIN_TEST_SEED` the first of them. Every
//! turn of one that fails is printed. In one of ten histories, with `DRUMLIN_HARSH` in all of them,
//! any actor may be slow between any two calls while others make many, and collectors forget all
//! that there is: rare orders of events. In one of sixteen, with `DRUMLIN_LOSSY` in all of them, a
//! pack is lost. Names, and so what a seed leads to, also depend on the change times of the
//! sources.

mod actors; // machines with the real code
mod adversary; // a store that hides, replays and forges
mod director; // choice of the next actor
mod oracle; // observer of the store, with the invariants
mod scheduler; // turns of the actors

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drumlin::backup::{self, BackupOptions};
use drumlin::format::entry::Timestamp;
use drumlin::maintain::check::{self, CheckOptions, Level};
use drumlin::maintain::prune::{self, Exclusion, PruneOptions};
use drumlin::maintain::repair::{self, RepairOptions};
use drumlin::monitor::Monitor;
use drumlin::repo::gc::generations::{GenerationState, Generations};
use drumlin::repo::snapshots::trash::{self, ForgetNote};
use drumlin::repo::write::Checkpoints;
use drumlin::repo::{Error, Repository, snapshots};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use self::actors::{ACTORS, Actor, Setting, SimulatedClock, Told};
use self::director::Director;
use self::oracle::Oracle;
use self::scheduler::{LITTLE_PATIENCE, PATIENCE, Scheduler, TurnStore};
use crate::support::fixture::{TestRepo, noise, options, write};
use crate::support::operations::repair_options;

/// How many histories are tried if nothing else is asked for.
const SEEDS: u64 = 1_600;
/// One history of so many is long.
const LONG_EVERY: u32 = 16;
/// In one history of so many a pack is lost, and that is repaired.
const LOSS_EVERY: u32 = 16;

/// What all histories begin with.
struct Beginning {
    repo: TestRepo,
    sources: Vec<PathBuf>,
}

impl Beginning {
    fn new() -> Self {
        let repo = TestRepo::new();
        let sources: Vec<PathBuf> =
            (0..3).map(|number| repo.scratch.path().join(format!("source-{number}"))).collect();
        for (number, source) in (0..).zip(&sources) {
            for file in 0..4 {
                // Half of the files are the same in all sources.
                let content = if file < 2 { file } else { 10 * number + file };
                write(
                    &source.join(format!("d{}/f{file}", file % 2)),
                    &noise(content, 700 + 300 * file as usize),
                );
            }
        }
        let beginning = Self { repo, sources };
        let clock = Arc::default();
        for (host, seed) in [("host-0", u64::MAX), ("host-1", u64::MAX - 1)] {
            let machine =
                beginning.repo.repository.in_simulation(beginning.repo.memory.clone(), seed);
            backup::run(&machine, backup_options(&beginning, 0, host, &clock), &Monitor::default())
                .unwrap();
        }
        beginning
    }
}

fn backup_options(
    beginning: &Beginning,
    source: usize,
    host: &str,
    clock: &Arc<SimulatedClock>,
) -> BackupOptions {
    let (options, clock) = (options(&[beginning.sources[source].clone()], host), clock.clone());
    let checkpoints = Checkpoints { interval: Duration::MAX, bytes: u64::MAX };
    BackupOptions {
        always_snapshot: true,
        low_memory: true,
        threads: 1,
        clock: Arc::new(move || clock.now()),
        checkpoints,
        ..options
    }
}

/// Says an error with its causes.
fn said(error: impl std::error::Error) -> String {
    drumlin::monitor::in_words(&error)
}

/// What a history was.
#[derive(Debug)]
struct Played {
    turns: u64,
    /// The same for the same history.
    digest: blake3::Hash,
    /// Every turn, in words.
    trace: Vec<String>,
    /// How often what happened.
    happened: BTreeMap<&'static str, u64>,
}

/// Plays one history; returns what it was, or what went wrong.
fn play(beginning: &Beginning, exclusion: Exclusion, seed: u64) -> Result<Played, String> {
    let mut random = SmallRng::seed_from_u64(seed);
    let memory = Arc::new(beginning.repo.memory.image());
    if exclusion == Exclusion::User {
        memory.replace_objects();
    }
    let machine = |store, number: usize| {
        beginning.repo.repository.in_simulation(store, (seed << 8) | number as u64)
    };
    let clock = Arc::new(SimulatedClock::default());
    clock.pass(3600);
    let is_harsh = random.random_ratio(1, 10) || std::env::var_os("DRUMLIN_HARSH").is_some();
    let is_long = random.random_ratio(1, LONG_EVERY);
    let loses = random.random_ratio(1, LOSS_EVERY) || std::env::var_os("DRUMLIN_LOSSY").is_some();
    let setting = Setting {
        beginning,
        clock: clock.clone(),
        told: Mutex::new(Told::default()),
        exclusion,
        is_long,
        is_harsh,
        is_impatient: random.random_bool(0.3),
        loss: (exclusion == Exclusion::Store && loses).then(Arc::default),
    };
    let director = Arc::new(Mutex::new(Director {
        oracle: Oracle::new(memory.clone(), machine(memory.clone(), ACTORS), setting.loss.clone()),
        clock,
        faults: [0.0, 0.01, 0.04][random.random_range(0..3)] * if is_long { 0.02 } else { 1.0 },
        haste: [0.0, 0.5, 0.9][random.random_range(0..3)] * f64::from(u8::from(is_harsh)),
        is_harsh,
        asleep_until: [0; ACTORS],
        last: ACTORS,
        sleeps_after: is_long.then(|| random.random_range(1..24)),
        random,
        trace: Vec::new(),
        turns: 0,
        digest: blake3::Hasher::new(),
        outcome: Ok(()),
        touched: None,
        listed: [0; ACTORS],
    }));
    director.lock().unwrap().observe_all();
    let deciding = director.clone();
    let scheduler =
        Scheduler::new(ACTORS, Box::new(move |calls| deciding.lock().unwrap().decide(calls)));
    std::thread::scope(|scope| {
        for number in 0..ACTORS {
            let store = TurnStore::new(memory.clone(), scheduler.clone(), number);
            let random = SmallRng::seed_from_u64(seed ^ (1000 + number as u64) << 32);
            let machine = machine(store.clone(), number);
            let mut actor = Actor { number, store, machine, random, setting: &setting };
            scope.spawn(move || actor.act());
        }
        scheduler.wait(if setting.loss.is_some() { LITTLE_PATIENCE } else { PATIENCE });
    });
    let director = &mut *director.lock().unwrap();
    director.observe_all();
    let judged = director
        .outcome
        .clone()
        .and_then(|()| judge(&setting.told.lock().unwrap(), &director.oracle));
    let ended =
        judged.and_then(|()| end(&setting, &machine(memory, ACTORS + 1), &mut director.oracle));
    ended.map_err(|error| format!("{error}\n{}", director.trace.join("\n")))?;
    let (digest, trace) = (director.digest.finalize(), std::mem::take(&mut director.trace));
    Ok(Played {
        turns: director.turns,
        digest,
        trace,
        happened: director.oracle.happened().clone(),
    })
}

/// Compares what the actors were told with what is there.
fn judge(told: &Told, oracle: &Oracle) -> Result<(), String> {
    if let Some(wrong) = told.wrong.first() {
        return Err(wrong.clone());
    }
    if let Some(id) = told.committed.iter().find(|id| !oracle.was_committed(id)) {
        return Err(format!("snapshot {id} was reported and never existed"));
    }
    let live = oracle.live();
    match told.promised.iter().find(|id| !live.contains(id)) {
        Some(id) => Err(format!("snapshot {id} was said to be back and is not")),
        None => Ok(()),
    }
}

/// Whatever was left behind, a collection and a backup work at once, and everything is whole.
fn end(setting: &Setting, machine: &Arc<Repository>, oracle: &mut Oracle) -> Result<(), String> {
    let now = setting.clock.now();
    let mut options = PruneOptions {
        exclusion: setting.exclusion,
        grace_s: 0,
        low_memory: true,
        ..PruneOptions::new(now)
    };
    if setting.loss.is_some() {
        oracle.excuse_nobody();
        repair_all(machine, &options)?;
        oracle.observe()?;
        // What was replaced goes, and nobody who died keeps it.
        (options.trash_window_s, options.intent_max_age_s) = (0, -1);
    }
    match prune::run(machine, &options, &Monitor::default()) {
        // Whoever was bringing that snapshot back died before it was told that it was too late.
        // Forgetting it again mends that.
        Err(Error::Unjustified { .. }) => {
            forget_what_is_decided(machine, now)?;
            prune::run(
                machine,
                &PruneOptions { trash_window_s: 0, ..options },
                &Monitor::default(),
            )
            .map_err(said)?;
        }
        pruned => drop(pruned.map_err(said)?),
    }
    oracle.observe()?;
    let options = backup_options(setting.beginning, 1, "end", &setting.clock);
    backup::run(machine, options, &Monitor::default()).map_err(said)?;
    oracle.observe()?;
    let options = CheckOptions { level: Level::Full, threads: 1, now };
    let report = check::run(machine, &options, &Monitor::default()).map_err(said)?;
    if report.is_sound() { Ok(()) } else { Err(format!("{report:#?}")) }
}

/// Repairs what was lost, and replaces the snapshots that lack something.
fn repair_all(machine: &Arc<Repository>, options: &PruneOptions) -> Result<(), String> {
    let usual = repair_options(Level::Structure);
    let repairs = RepairOptions { snapshots: true, threads: 1, now: options.now, ..usual };
    let repair = || {
        repair::plan(machine, &repairs, &Monitor::default())
            .and_then(|plan| plan.apply(&Monitor::default()))
    };
    if repair().is_err() {
        // A collector has to finish first; what it finds damaged then is what is repaired.
        let _ = prune::run(machine, options, &Monitor::default());
        repair().map_err(said)?;
    }
    Ok(())
}

/// Forgets the snapshots that the last verdict names.
fn forget_what_is_decided(machine: &Arc<Repository>, now: Timestamp) -> Result<(), String> {
    let generations = Generations::list(machine).map_err(said)?;
    let GenerationState::Unfinished(removal) =
        generations.state(machine, generations.highest()).map_err(said)?
    else {
        return Err("no verdict is unfinished".to_owned());
    };
    let word = str::to_owned;
    let note = ForgetNote {
        host: word("h"),
        user: word("u"),
        program: word("p"),
        now,
        reason: word("named"),
    };
    for snapshot in snapshots::list(machine)
        .map_err(said)?
        .iter()
        .filter(|one| removal.snapshots.contains(&one.id))
    {
        trash::forget(machine, &snapshot.id, Some(snapshots::chain_hash(snapshot)), &note)
            .map_err(said)?;
    }
    Ok(())
}

/// Calls `play_one` for each seed, on all processors. All threads of a history stay on one, where
/// to wake another is quickest.
fn for_each_seed(seeds: std::ops::Range<u64>, play_one: impl Fn(u64) + Sync) {
    let usable = sched_getaffinity(None).unwrap();
    let next = AtomicU64::new(seeds.start);
    std::thread::scope(|scope| {
        for processor in (0..CpuSet::MAX_CPU).filter(|processor| usable.is_set(*processor)) {
            let (next, play_one, end) = (&next, &play_one, seeds.end);
            scope.spawn(move || {
                let mut only = CpuSet::new();
                only.set(processor);
                sched_setaffinity(None, &only).unwrap();
                while let Some(seed) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < end)
                {
                    play_one(seed);
                }
            });
        }
    });
}

#[test]
fn every_history_keeps_the_invariants() {
    play_all(Exclusion::Store, SEEDS);
}

/// Every name has one author, so nothing is ever replaced there but tombstones.
#[test]
fn every_history_on_a_store_that_replaces_keeps_them_too() {
    play_all(Exclusion::User, SEEDS / 20);
}

/// Plays many histories, `usual` if nothing else is asked for.
fn play_all(exclusion: Exclusion, usual: u64) {
    let number = |variable, usual: u64| {
        std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    let (first, count): (u64, u64) =
        (number("DRUMLIN_TEST_SEED", 1), number("DRUMLIN_SEEDS", usual));
    let beginning = Beginning::new();
    let (turns, happened, wrong) =
        (AtomicU64::new(0), Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    for_each_seed(first..first + count, |seed| match play(&beginning, exclusion, seed) {
        Ok(played) => {
            turns.fetch_add(played.turns, Ordering::Relaxed);
            let mut all = happened.lock().unwrap();
            played
                .happened
                .into_iter()
                .for_each(|(what, times)| *all.entry(what).or_insert(0) += times);
        }
        Err(error) => {
            let again = format!(
                "DRUMLIN_TEST_SEED={seed} DRUMLIN_SEEDS=1 cargo nextest run --no-capture every_history"
            );
            let text = format!("seed {seed}: {error}\nagain: {again}");
            println!("{text}");
            wrong.lock().unwrap().push(format!(
                "seed {seed}: {}\nagain: {again}",
                error.lines().next().unwrap_or_default()
            ));
        }
    });
    println!(
        "{count} histories from seed {first}, {} turns, {:?}",
        turns.into_inner(),
        happened.into_inner().unwrap()
    );
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} violations:\n{}", wrong.len(), wrong.join("\n"));
}

/// Goal: a seed that fails can be looked at. Method: histories are played twice.
///
/// Names of objects depend on the times of the folders above the sources, which other programs may
/// touch meanwhile: then both are played again.
#[test]
fn a_seed_is_one_history() {
    let beginning = Beginning::new();
    let times = || {
        let above = beginning.sources[0].ancestors().skip(1);
        above.map(|folder| folder.metadata().unwrap().modified().unwrap()).collect::<Vec<_>>()
    };
    for_each_seed(1..30, |seed| {
        let play_twice = || {
            let before = times();
            let pair = [(); 2].map(|()| play(&beginning, Exclusion::Store, seed).unwrap());
            (before == times()).then_some(pair)
        };
        let mut pairs = std::iter::repeat_with(play_twice).flatten();
        // Beside other tests a pair differs now and then, and never alone: an actor has threads of
        // its own, and which of them is first to call is up to the machine where it is busy.
        let is_same = |[once, again]: &[Played; 2]| {
            let differs = once.trace.iter().zip(&again.trace).find(|(one, other)| one != other);
            differs
                .iter()
                .for_each(|(one, other)| println!("seed {seed}: {one}, and then {other}"));
            // Threads of a check are not waited for long, so what follows a loss is not always the
            // same.
            once.digest == again.digest || once.happened.contains_key("pack lost")
        };
        assert!(pairs.by_ref().take(10).any(|pair| is_same(&pair)), "seed {seed}");
    });
}
