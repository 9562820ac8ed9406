//! Options and counters of a write session, and the first error of its threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::compress::Compression;
use crate::repo::error::Error;
use crate::sync::lock;

/// Options of a write session.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// Level of compression.
    pub compression: Compression,
    /// Number of threads that compress, at least 1.
    pub threads: usize,
    /// Whether to use smaller packs and fewer buffers: about 40 MiB of memory instead of 150.
    pub low_memory: bool,
    /// Whether only to count what would be stored.
    pub dry_run: bool,
    /// When checkpoints are made.
    pub checkpoints: Checkpoints,
}

/// Limits after which a session writes an index run and an intent, so that an interrupted backup
/// finds what it stored.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoints {
    /// Longest time between two checkpoints.
    pub interval: Duration,
    /// Most bytes of packs between two checkpoints.
    pub bytes: u64,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self { interval: Duration::from_secs(600), bytes: 16 << 30 }
    }
}

impl SessionOptions {
    /// Returns how many lanes (threads that read and put) the session has buffers for.
    pub fn lanes(&self) -> usize {
        self.threads.clamp(1, if self.low_memory { 2 } else { 6 })
    }
}

/// Counters of a session.
#[derive(Default)]
pub(crate) struct Counters {
    pub chunks_new: AtomicU64,
    pub bytes_new_raw: AtomicU64,
    pub bytes_stored: AtomicU64,
    pub bytes_of_runs: AtomicU64,
}

/// Numbers of what a session stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionStats {
    /// Chunks stored for the first time.
    pub chunks_new: u64,
    /// Bytes of new chunks before compression.
    pub bytes_new_raw: u64,
    /// Bytes of new packs and index runs.
    pub bytes_stored: u64,
    /// Bytes of new index runs.
    pub bytes_of_runs: u64,
}

/// The first error of any thread, kept for `finish`.
#[derive(Default)]
pub(super) struct FirstError(Mutex<Option<Error>>, AtomicBool);

impl FirstError {
    pub(super) fn set(&self, error: Error) {
        self.1.store(true, Ordering::Relaxed);
        lock(&self.0).get_or_insert(error);
    }

    pub(super) fn is_set(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }

    pub(super) fn take(&self) -> Option<Error> {
        lock(&self.0).take()
    }
}
