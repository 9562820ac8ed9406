//! A bounded set of open descriptors (second chance): opening one more closes one that was not used
//! recently.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::sync::lock;

/// An object that opens its descriptor again when it is needed.
pub(crate) trait Reopenable {
    /// Returns the flag of a recent use.
    fn used(&self) -> &AtomicBool;

    /// Closes the descriptor; a thread that is using it keeps its own reference.
    fn close(&self);
}

/// The objects that have a descriptor open. They are held weakly: a dropped object has closed its
/// own.
pub(crate) struct Descriptors<T> {
    limit: usize,
    open: Mutex<OpenItems<T>>,
}

struct OpenItems<T> {
    items: VecDeque<Weak<T>>,
    /// Objects added since dropped ones were last removed from `items`.
    new: usize,
}

impl<T: Reopenable> Descriptors<T> {
    /// Allows `limit` descriptors (at least 1).
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), open: Mutex::new(OpenItems { items: VecDeque::new(), new: 0 }) }
    }

    /// Registers `item`, which has just been opened; closes others if there are too many.
    pub(crate) fn opened(&self, item: &Arc<T>) {
        let mut closing = Vec::new();
        {
            let OpenItems { items: open, new } = &mut *lock(&self.open);
            open.push_back(Arc::downgrade(item));
            *new += 1;
            // Only now and then: it takes time in proportion to the number of descriptors.
            if open.len() > self.limit && *new > self.limit / 4 {
                open.retain(|item| item.strong_count() > 0);
                *new = 0;
            }
            let mut chances = open.len();
            while open.len() > self.limit {
                let oldest = open.pop_front().expect("there are more than the limit");
                if let Some(oldest) = oldest.upgrade() {
                    if chances > 0 && oldest.used().swap(false, Ordering::Relaxed) {
                        open.push_back(Arc::downgrade(&oldest));
                    } else {
                        closing.push(oldest);
                    }
                }
                chances = chances.saturating_sub(1);
            }
        }
        // Outside the lock, because closing waits for the item's own lock.
        for item in closing {
            item.close();
        }
    }

    /// Closes all.
    #[cfg(test)]
    pub(crate) fn close_all(&self) {
        let all = std::mem::take(&mut lock(&self.open).items);
        for item in all.iter().filter_map(Weak::upgrade) {
            item.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Door {
        used: AtomicBool,
        closed: AtomicBool,
    }

    impl Reopenable for Door {
        fn used(&self) -> &AtomicBool {
            &self.used
        }

        fn close(&self) {
            self.closed.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_one_that_nobody_used_is_closed() {
        let doors: Vec<Arc<Door>> = (0..4).map(|_| Arc::default()).collect();
        let open = Descriptors::new(2);
        open.opened(&doors[0]);
        open.opened(&doors[1]);
        doors[0].used.store(true, Ordering::Relaxed);
        open.opened(&doors[2]);
        let closed = |position: usize| doors[position].closed.load(Ordering::Relaxed);
        assert_eq!([closed(0), closed(1), closed(2)], [false, true, false]);
        open.close_all();
        assert!(closed(0) && closed(2));
    }
}
