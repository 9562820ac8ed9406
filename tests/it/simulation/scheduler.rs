//! Actors that share a store and take turns: one call of the store at a time, the next one chosen by a seed.
//!
//! Each actor is a thread of the real program's code. Whenever it wants something of the store it waits for its turn; the
//! others stand still meanwhile, so that a history is a sequence of calls, and the seed decides which.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use drumlin::store::memory::MemoryStore;
use drumlin::store::{Action, Class, ErrorKind, Key, Listed, Store, StoreError};

/// What happens to the call whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is done.
    Go,
    /// It fails and has done nothing.
    Fail,
    /// It is done, but its answer is lost.
    Lose,
    /// Its process dies instead; all its later calls fail.
    Die,
}

/// A call that waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub actor: usize,
    pub action: Action,
    pub class: Class,
    pub object: String,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<(usize, u64), (Call, Option<Turn>)>,
    next: u64,
    /// How many threads of each actor are known to be working.
    working: Vec<usize>,
    finished: Vec<bool>,
}

/// Gives turns.
#[derive(Default)]
pub struct Scheduler {
    state: Mutex<State>,
    changed: Condvar,
}

/// How long an actor may work without calling the store, before the next turn is given all the same.
const PATIENCE: Duration = Duration::from_millis(200);

impl Scheduler {
    pub fn new(actors: usize) -> Arc<Self> {
        let state = State { working: vec![1; actors], finished: vec![false; actors], ..State::default() };
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Waits until every actor waits or is finished; returns the calls that wait, none when all are finished.
    pub fn calls(&self) -> Vec<Call> {
        let mut state = self.lock();
        loop {
            let is_working = |(working, finished): (&usize, &bool)| *working > 0 && !finished;
            let quiet = !state.working.iter().zip(&state.finished).any(is_working);
            let waiting: Vec<Call> = state.waiting.values().map(|(call, _)| call.clone()).collect();
            if quiet && (!waiting.is_empty() || state.finished.iter().all(|finished| *finished)) {
                return waiting;
            }
            let (locked, timeout) = self.changed.wait_timeout(state, PATIENCE).unwrap();
            state = locked;
            if timeout.timed_out() && !state.waiting.is_empty() {
                // A thread of theirs went to wait for another one without a call: it will not come back by itself.
                state.working.iter_mut().for_each(|working| *working = 0);
            }
        }
    }

    /// Gives one of the calls that [`Self::calls`] returned its turn.
    pub fn give(&self, position: usize, turn: Turn) {
        let mut state = self.lock();
        let (&(actor, _), (_, given)) = state.waiting.iter_mut().nth(position).unwrap();
        *given = Some(turn);
        state.working[actor] += 1;
        self.changed.notify_all();
    }

    pub fn finish(&self, actor: usize) {
        self.lock().finished[actor] = true;
        self.changed.notify_all();
    }

    fn wait_for_turn(&self, call: Call) -> Turn {
        let mut state = self.lock();
        let ticket = (call.actor, state.next);
        state.next += 1;
        state.working[call.actor] = state.working[call.actor].saturating_sub(1);
        state.waiting.insert(ticket, (call, None));
        self.changed.notify_all();
        loop {
            if let Some((_, Some(turn))) = state.waiting.get(&ticket) {
                let turn = *turn;
                state.waiting.remove(&ticket);
                return turn;
            }
            state = self.changed.wait(state).unwrap();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// One actor's view of the store.
pub struct TurnStore {
    pub inner: Arc<MemoryStore>,
    pub scheduler: Arc<Scheduler>,
    pub actor: usize,
    dead: AtomicBool,
    hurt: AtomicBool,
}

#[derive(Debug, thiserror::Error)]
#[error("a simulated fault")]
struct Simulated;

impl TurnStore {
    pub fn new(inner: Arc<MemoryStore>, scheduler: Arc<Scheduler>, actor: usize) -> Arc<Self> {
        Arc::new(Self { inner, scheduler, actor, dead: AtomicBool::new(false), hurt: AtomicBool::new(false) })
    }

    /// Returns whether any of its calls went wrong.
    pub fn is_hurt(&self) -> bool {
        self.hurt.load(Ordering::Relaxed)
    }

    fn call<T>(
        &self,
        (action, class): (Action, Class),
        object: String,
        call: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let turn = if self.dead.load(Ordering::Relaxed) {
            Turn::Die
        } else {
            self.scheduler.wait_for_turn(Call { actor: self.actor, action, class, object: object.clone() })
        };
        self.hurt.fetch_or(turn != Turn::Go, Ordering::Relaxed);
        self.dead.fetch_or(turn == Turn::Die, Ordering::Relaxed);
        let source = Box::new(Simulated);
        let failed =
            StoreError { kind: ErrorKind::Other, action: action.name(), location: "simulation".to_owned(), object, source };
        match turn {
            Turn::Go => call(),
            Turn::Lose => call().and(Err(failed)),
            Turn::Fail | Turn::Die => Err(failed),
        }
    }
}

impl Store for TurnStore {
    fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.call((Action::List, class), prefix.to_owned(), || self.inner.list(class, prefix))
    }

    fn stat(&self, key: &Key) -> Result<u64, StoreError> {
        self.call((Action::Stat, key.class), key.to_string(), || self.inner.stat(key))
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        self.call((Action::Read, key.class), key.to_string(), || self.inner.read_into(key, range, out))
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        self.call((Action::Read, key.class), key.to_string(), || self.inner.read(key))
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.call((Action::Create, key.class), key.to_string(), || self.inner.create(key, bytes))
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.call((Action::Remove, key.class), key.to_string(), || self.inner.remove(key))
    }

    fn location(&self) -> &str {
        "memory"
    }
}
