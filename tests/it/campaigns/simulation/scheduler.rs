//! Actors that share a store and take turns: one call of the store at a time, the next one chosen
//! by a seed.
//!
//! Each actor is a thread of the real program's code. Before each call of the store it waits for
//! its turn, and the others stand still meanwhile, so that a history is a sequence of calls that
//! the seed decides. The last one to wait decides who goes on, and wakes nobody else.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::Thread;
use std::time::Duration;

use drumlin::store::layers;
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
    /// What it is about; a listing is about none.
    pub key: Option<Key>,
}

/// Chooses one of the calls that wait, at least one, and what happens to it.
pub type Decide = Box<dyn FnMut(&[&Call]) -> (usize, Turn) + Send>;

/// A thread that waits, and what it is told.
struct Waiting {
    thread: Thread,
    turn: Mutex<Option<Turn>>,
}

struct State {
    waiting: BTreeMap<(usize, u64), (Call, Arc<Waiting>)>,
    next: u64,
    /// How many threads of each actor are known to be working.
    working: Vec<usize>,
    finished: Vec<bool>,
    /// Calls that had their turn and are not done yet: nothing else is decided before the observer
    /// can see what they did.
    under_way: usize,
    decide: Decide,
}

/// Gives turns.
pub struct Scheduler {
    state: Mutex<State>,
    /// Everybody is finished.
    over: Condvar,
}

/// How long an actor may work without calling the store, before the next turn is given all the
/// same.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// The same where an actor has threads that come and go without a word, as a check has: each costs
/// so much.
pub const LITTLE_PATIENCE: Duration = Duration::from_millis(10);

impl Scheduler {
    pub fn new(actors: usize, decide: Decide) -> Arc<Self> {
        let (working, finished) = (vec![1; actors], vec![false; actors]);
        let state =
            State { waiting: BTreeMap::new(), next: 0, working, finished, under_way: 0, decide };
        Arc::new(Self { state: Mutex::new(state), over: Condvar::new() })
    }

    /// Waits until every actor is finished.
    pub fn wait(&self, patience: Duration) {
        let mut state = self.lock();
        while !state.finished.iter().all(|finished| *finished) {
            let before = state.next;
            let (locked, timeout) = self.over.wait_timeout(state, patience).unwrap();
            state = locked;
            if timeout.timed_out() && state.next == before {
                // A thread of theirs went to wait for another one without a call: it will not come
                // back by itself.
                state.working.iter_mut().for_each(|working| *working = 0);
                state.go_on();
            }
        }
    }

    pub fn finish(&self, actor: usize) {
        let mut state = self.lock();
        state.finished[actor] = true;
        state.go_on();
        if state.finished.iter().all(|finished| *finished) {
            self.over.notify_all();
        }
    }

    /// A call that had its turn is done.
    fn call_done(&self) {
        let mut state = self.lock();
        state.under_way -= 1;
        state.go_on();
    }

    fn wait_for_turn(&self, call: Call) -> Turn {
        let me = Arc::new(Waiting { thread: std::thread::current(), turn: Mutex::new(None) });
        {
            let mut state = self.lock();
            let ticket = (call.actor, state.next);
            state.next += 1;
            state.working[call.actor] = state.working[call.actor].saturating_sub(1);
            state.waiting.insert(ticket, (call, me.clone()));
            state.go_on();
        }
        loop {
            if let Some(turn) = me.turn.lock().unwrap().take() {
                return turn;
            }
            std::thread::park();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    /// Lets the next call go on, if everybody waits or is finished.
    fn go_on(&mut self) {
        let is_working = |(working, finished): (&usize, &bool)| *working > 0 && !finished;
        if self.under_way > 0
            || self.waiting.is_empty()
            || self.working.iter().zip(&self.finished).any(is_working)
        {
            return;
        }
        let calls: Vec<&Call> = self.waiting.values().map(|(call, _)| call).collect();
        let (position, turn) = (self.decide)(&calls);
        let ticket = *self.waiting.keys().nth(position).unwrap();
        let (call, chosen) = self.waiting.remove(&ticket).unwrap();
        self.working[call.actor] += 1;
        self.under_way += 1;
        *chosen.turn.lock().unwrap() = Some(turn);
        chosen.thread.unpark();
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
        Arc::new(Self {
            inner,
            scheduler,
            actor,
            dead: AtomicBool::new(false),
            hurt: AtomicBool::new(false),
        })
    }

    /// Returns whether any of its calls went wrong.
    pub fn is_hurt(&self) -> bool {
        self.hurt.load(Ordering::Relaxed)
    }

    fn call<T>(
        &self,
        (action, class, key): (Action, Class, Option<&Key>),
        call: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // A probe races threads of its own, which wait for each other: it is one step, and nothing
        // goes wrong in it.
        let (is_dead, is_probe) = (self.dead.load(Ordering::Relaxed), class == Class::Probe);
        let turn = match (is_dead, is_probe) {
            (true, _) => Turn::Die,
            (false, true) => Turn::Go,
            (false, false) => self.scheduler.wait_for_turn(Call {
                actor: self.actor,
                action,
                class,
                key: key.cloned(),
            }),
        };
        self.hurt.fetch_or(turn != Turn::Go, Ordering::Relaxed);
        self.dead.fetch_or(turn == Turn::Die, Ordering::Relaxed);
        let failed = |kind| {
            let (source, object) =
                (Box::new(Simulated), key.map(Key::to_string).unwrap_or_default());
            StoreError {
                kind,
                action: action.name(),
                location: "simulation".to_owned(),
                object,
                source,
            }
        };
        // Of what changes nothing no store says that it may have been done.
        let lost = if action == Action::Create || action == Action::Remove {
            ErrorKind::Unanswered
        } else {
            ErrorKind::Other
        };
        let outcome = match turn {
            Turn::Go => call(),
            Turn::Lose => call().and_then(|_| Err(failed(lost))),
            Turn::Fail | Turn::Die => Err(failed(ErrorKind::Other)),
        };
        if !is_dead && !is_probe {
            self.scheduler.call_done();
        }
        outcome
    }
}

impl layers::Layer for TurnStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.call((Action::List, class, None), || self.inner.list(class, prefix))
    }

    fn stat(&self, key: &Key) -> Result<u64, StoreError> {
        self.call((Action::Stat, key.class, Some(key)), || self.inner.stat(key))
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        self.call((Action::Read, key.class, Some(key)), || self.inner.read_into(key, range, out))
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        self.call((Action::Read, key.class, Some(key)), || self.inner.read(key))
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.call((Action::Create, key.class, Some(key)), || self.inner.create(key, bytes))
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.call((Action::Remove, key.class, Some(key)), || self.inner.remove(key))
    }

    fn location(&self) -> &str {
        "memory"
    }
}
