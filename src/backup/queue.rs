//! Work-stealing task stacks, one per thread, that end when no task is left and none can be added.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::sync::{self, lock};

/// The stacks. A thread takes its newest task, so a tree is walked depth first and the stacks stay
/// short. If it has none, it takes the oldest task of another thread, probably the largest.
pub(super) struct Queue<T> {
    state: Mutex<Stacks<T>>,
    more: Condvar,
    stopped: AtomicBool,
}

struct Stacks<T> {
    stacks: Vec<VecDeque<T>>,
    active: usize,
    waiting: usize,
}

impl<T> Stacks<T> {
    fn take(&mut self, thread: usize) -> Option<T> {
        let own = self.stacks[thread].pop_back();
        own.or_else(|| self.stacks.iter_mut().max_by_key(|stack| stack.len())?.pop_front())
    }
}

impl<T> Queue<T> {
    /// Starts with one task for `threads` threads, numbered from 0.
    pub(super) fn new(first: T, threads: usize) -> Self {
        let mut stacks: Vec<_> = (0..threads).map(|_| VecDeque::new()).collect();
        stacks[0].push_back(first);
        let state = Mutex::new(Stacks { stacks, active: 0, waiting: 0 });
        Self { state, more: Condvar::new(), stopped: AtomicBool::new(false) }
    }

    /// Adds tasks for a thread, which takes the first of them first.
    pub(super) fn push(&self, thread: usize, tasks: Vec<T>) {
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

    /// Returns the next task for a thread; waits for one if other threads may add some. `None` at
    /// the end.
    ///
    /// `has_finished` says that the thread has finished its last task, and has added all tasks that
    /// follow from it.
    pub(super) fn next(&self, thread: usize, has_finished: bool) -> Option<T> {
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

    /// Drops all tasks; each thread ends after its current one.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.more.notify_all();
    }

    /// Returns whether the queue was stopped.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Stacks<T>> {
        lock(&self.state)
    }
}
