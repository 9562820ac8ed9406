//! A stack of tasks for several threads, which ends when nothing is left and nobody can add more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The stack; the task added last is done first, so a tree is worked off deepest first and the stack stays short.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    more: Condvar,
    stopped: AtomicBool,
}

struct State<T> {
    tasks: Vec<T>,
    active: usize,
}

impl<T> Queue<T> {
    /// Starts with one task.
    pub fn new(first: T) -> Self {
        let state = Mutex::new(State { tasks: vec![first], active: 0 });
        Self { state, more: Condvar::new(), stopped: AtomicBool::new(false) }
    }

    /// Adds tasks; the first of them is done first.
    pub fn push(&self, tasks: Vec<T>) {
        if tasks.is_empty() {
            return;
        }
        self.lock().tasks.extend(tasks.into_iter().rev());
        self.more.notify_all();
    }

    /// Returns the next task, or `None` when there will never be one; each task must be followed by [`Self::done`].
    pub fn next(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if self.is_stopped() {
                state.tasks.clear();
            }
            if let Some(task) = state.tasks.pop() {
                state.active += 1;
                return Some(task);
            }
            if state.active == 0 {
                return None;
            }
            state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// States that a task is done, and all tasks that it leads to are added.
    pub fn done(&self) {
        let mut state = self.lock();
        state.active -= 1;
        let is_over = state.active == 0;
        drop(state);
        if is_over {
            self.more.notify_all();
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
