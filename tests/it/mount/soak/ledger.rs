//! The ledger: snapshots that exist, their readers, and counts of work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

/// The newest snapshots, which nobody forgets.
const NEWEST: usize = 3;
/// What each of those who take part does at least, however slow the machine is.
const TURNS_MIN: u64 = 3;

/// What everybody who takes part knows.
pub struct Ledger {
    state: Mutex<State>,
    until: Instant,
    is_broken: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Oldest first; those that are being forgotten are no longer here.
    living: Vec<Living>,
    forgotten: BTreeSet<String>,
    done: BTreeMap<&'static str, Done>,
}

struct Living {
    id: String,
    round: u64,
    leases: u64,
}

/// What somebody did: turns, and bytes that he read or wrote.
#[derive(Clone, Copy, Default)]
pub struct Done {
    pub turns: u64,
    pub bytes: u64,
}

/// A snapshot that is not forgotten as long as this value is there.
pub struct Lease<'a> {
    ledger: &'a Ledger,
    pub id: String,
    /// The state of the source that it holds.
    pub round: u64,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut state = self.ledger.lock();
        state
            .living
            .iter_mut()
            .filter(|living| living.id == self.id)
            .for_each(|living| living.leases -= 1);
    }
}

impl Ledger {
    /// Begins with those who take part.
    pub fn new(until: Instant, who: impl IntoIterator<Item = &'static str>) -> Self {
        let done = who.into_iter().map(|who| (who, Done::default())).collect();
        Self {
            state: Mutex::new(State { done, ..State::default() }),
            until,
            is_broken: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Takes note of a new snapshot.
    pub fn add(&self, id: String, round: u64) {
        self.lock().living.push(Living { id, round, leases: 0 });
    }

    /// Leases a snapshot: 0 is the newest, 1 the one before it, and so on, around and around.
    pub fn lease(&self, back: u64) -> Lease<'_> {
        let mut state = self.lock();
        let count = state.living.len();
        let living = &mut state.living[count - 1 - back as usize % count];
        living.leases += 1;
        Lease { ledger: self, id: living.id.clone(), round: living.round }
    }

    /// Chooses what nobody leases and what is not among the newest: from now on it counts as
    /// forgotten. Returns ids and rounds.
    pub fn forgettable(&self) -> Vec<(String, u64)> {
        let mut state = self.lock();
        let old = state.living.len().saturating_sub(NEWEST);
        let newest = state.living.split_off(old);
        let (mut kept, gone): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.living).into_iter().partition(|one| one.leases > 0);
        kept.extend(newest);
        state.living = kept;
        state.forgotten.extend(gone.iter().map(|one| one.id.clone()));
        gone.into_iter().map(|one| (one.id, one.round)).collect()
    }

    /// Returns whether a snapshot, named by the start of its id, was forgotten or is being
    /// forgotten.
    pub fn is_forgotten(&self, id: &str) -> bool {
        self.lock().forgotten.range(id.to_owned()..).next().is_some_and(|next| next.starts_with(id))
    }

    /// Returns whether there is enough of everything; or whether somebody has failed, so that
    /// nobody need go on.
    pub fn is_over(&self) -> bool {
        let has_enough = || self.lock().done.values().all(|done| done.turns >= TURNS_MIN);
        self.is_broken.load(Ordering::Relaxed) || Instant::now() >= self.until && has_enough()
    }

    /// Lets somebody take turns, each of which returns bytes, until it is over.
    pub fn take_turns(&self, who: &'static str, mut turn: impl FnMut(u64) -> u64) {
        let alarm = Alarm(self);
        let mut turns = 0;
        while !self.is_over() {
            let bytes = turn(turns);
            turns += 1;
            let mut state = self.lock();
            let done = state.done.entry(who).or_default();
            *done = Done { turns, bytes: done.bytes + bytes };
        }
        drop(alarm);
    }

    /// Returns what each did, in words, by their names.
    pub fn report(&self) -> String {
        let state = self.lock();
        let each = |(who, done): (&&str, &Done)| {
            format!("{who} {} ({} MB)", done.turns, done.bytes / 1_000_000)
        };
        let all: Vec<String> = state.done.iter().map(each).collect();
        format!("{}; {} snapshots forgotten", all.join(", "), state.forgotten.len())
    }
}

/// Tells the others if the thread that holds it panics.
struct Alarm<'a>(&'a Ledger);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.is_broken.store(true, Ordering::Relaxed);
        }
    }
}
