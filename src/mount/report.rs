//! Reports of errors to the user: programs only see numbers.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::monitor::in_words;
use crate::repo::Error;
use crate::sync::lock;

/// How many things are remembered as told.
const TOLD_MAX: usize = 10_000;

/// Is called with the path of what could not be read, and why; by any thread.
pub type OnReport = Box<dyn Fn(&[u8], &str) + Send + Sync>;

/// Tells each trouble once.
pub struct Report {
    tell: OnReport,
    told: Mutex<HashSet<[u8; 32]>>,
    has_met_damage: AtomicBool,
}

impl Report {
    /// Makes a report that tells by `tell`.
    pub fn new(tell: OnReport) -> Self {
        Self { tell, told: Mutex::default(), has_met_damage: AtomicBool::new(false) }
    }

    /// Tells that something cannot be read, unless that was told before with the same words.
    pub fn trouble(&self, path: &[u8], error: &Error) {
        self.has_met_damage.fetch_or(error.is_damage(), Ordering::Relaxed);
        self.say(path, &in_words(error));
    }

    /// Returns whether anything could not be read because the repository is damaged.
    pub fn has_met_damage(&self) -> bool {
        self.has_met_damage.load(Ordering::Relaxed)
    }

    /// Tells something about a path, unless that was told before.
    pub fn say(&self, path: &[u8], words: &str) {
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
