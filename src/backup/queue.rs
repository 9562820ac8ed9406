//! A stack of tasks for each of several threads, which ends when nothing is left and nobody can add
//! more.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::sync::{self, lock};

/// The stacks. A thread does first what it added last, so a tree is worked off deepest first and
/// the stacks stay short; one that has nothing left takes what another added first: the task that
/// is likely to keep it busy for longest.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    more: Condvar,
    stopped: AtomicBool,
}

struct State<T> {
    stacks: Vec<VecDeque<T>>,
    active: usize,
    waiting: usize,
}

impl<T> State<T> {
    fn take(&mut self, thread: usize) -> Option<T> {
        let own = self.stacks[thread].pop_back();
        own.or_else(|| self.stacks.iter_mut().max_by_key(|stack| stack.len())?.pop_front())
    }
}

impl<T> Queue<T> {
    /// Starts with one task for `threads` threads, which are numbered from 0.
    pub fn new(first: T, threads: usize) -> Self {
        let mut stacks: Vec<_> = (0..threads).map(|_| VecDeque::new()).collect();
        stacks[0].push_back(first);
        let state = Mutex::new(State { stacks, active: 0, waiting: 0 });
        Self { state, more: Condvar::new(), stopped: AtomicBool::new(false) }
    }

    /// Adds tasks for a thread; the first of them is done first.
    pub fn push(&self, thread: usize, tasks: Vec<T>) {
        if tasks.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.stacks[thread].extend(tasks.into_iter().rev());
        let is_awaited = state.waiting > 0;
        drop(state);
        if is_awaited {
            self.more.notify_all();
        }
    }

    /// Returns the next task for a thread, or `None` when there will never be one.
    ///
    /// `has_finished` says that it has finished the task that it took before, and that all that
    /// this led to is added.
    pub fn next(&self, thread: usize, has_finished: bool) -> Option<T> {
        let mut state = self.lock();
        state.active -= usize::from(has_finished);
        loop {
            if self.is_stopped() {
                state.stacks.iter_mut().for_each(VecDeque::clear);
            }
            if let Some(task) = state.take(thread) {
                state.active += 1;
                return Some(task);
            }
            if state.active == 0 {
                drop(state);
                self.more.notify_all();
                return None;
            }
            state.waiting += 1;
            state = sync::wait(&self.more, state);
            state.waiting -= 1;
        }
    }

    /// Drops all tasks: the threads end as soon as theirs is done.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.more.notify_all();
    }

    /// Returns whether the queue was stopped.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state)
    }
}
