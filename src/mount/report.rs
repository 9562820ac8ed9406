//! Reports of errors to the user, because programs only see error numbers.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::monitor::in_words;
use crate::repo::Error;
use crate::sync::lock;

/// Reports that are remembered, so that they are not repeated.
const TOLD_MAX: usize = 10_000;

/// Called from any thread with a path that cannot be read, and why.
pub type OnReport = Box<dyn Fn(&[u8], &str) + Send + Sync>;

/// Reports each error once.
pub(super) struct Report {
    tell: OnReport,
    told: Mutex<HashSet<[u8; 32]>>,
    has_met_damage: AtomicBool,
}

impl Report {
    /// Makes a report that calls `tell`.
    pub(super) fn new(tell: OnReport) -> Self {
        Self { tell, told: Mutex::default(), has_met_damage: AtomicBool::new(false) }
    }

    /// Reports that a path cannot be read.
    pub(super) fn trouble(&self, path: &[u8], error: &Error) {
        self.has_met_damage.fetch_or(error.is_damage(), Ordering::Relaxed);
        self.say(path, &in_words(error));
    }

    /// Returns whether an error was due to damage in the repository.
    pub(super) fn has_met_damage(&self) -> bool {
        self.has_met_damage.load(Ordering::Relaxed)
    }

    /// Reports a message about a path, unless it was reported before.
    pub(super) fn say(&self, path: &[u8], words: &str) {
        let mut hash = blake3::Hasher::new();
        hash.update(path).update(b"\0").update(words.as_bytes());
        let mut told = lock(&self.told);
        if told.len() >= TOLD_MAX {
            told.clear();
        }
        if told.insert(*hash.finalize().as_bytes()) {
            drop(told);
            (self.tell)(path, words);
        }
    }
}
