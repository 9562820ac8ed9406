//! One write session: chunks in, durable packs and index runs out, and only then a token that allows a commit.
//!
//! ```text
//! Lane::put ── claim ── new? ── segment ── compress (pool) ── pack ── seal, create (writers) ── index run
//! ```
//!
//! Memory is bounded by the number of buffers: a full pipeline makes `put` wait. If the process dies at any point, the
//! packs and runs that were created stay valid and are found by the next backup; packs that no run names yet are garbage
//! for a collector. Spec: `format-spec/13-commit.md`.

mod claims;
mod engine;
mod lane;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use lane::Lane;

use self::claims::Claims;
use self::engine::Engine;
use super::error::{Error, Result};
use super::reader::Reader;
use crate::compress::Compression;
use crate::id::ChunkId;

/// How a session works.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// How hard segments are compressed.
    pub compression: Compression,
    /// Threads that compress (at least 1).
    pub threads: usize,
    /// Smaller packs and fewer buffers: about 40 MiB instead of 150.
    pub low_memory: bool,
    /// Counts what would be stored, and stores nothing.
    pub dry_run: bool,
}

impl SessionOptions {
    /// Returns how many lanes (threads that read and put) the session has buffers for.
    pub fn lanes(&self) -> usize {
        self.threads.clamp(1, if self.low_memory { 2 } else { 6 })
    }
}

/// Counters of a session.
#[derive(Default)]
pub(super) struct Counters {
    pub chunks_new: AtomicU64,
    pub bytes_new_raw: AtomicU64,
    pub bytes_stored: AtomicU64,
}

/// What a session stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionStats {
    /// Chunks stored for the first time.
    pub chunks_new: u64,
    /// Their bytes before compression.
    pub bytes_new_raw: u64,
    /// Bytes of all packs and runs.
    pub bytes_stored: u64,
}

/// Proof that everything a session took is durable: without it no snapshot can be committed.
pub struct Stored {
    stats: SessionStats,
}

impl Stored {
    /// Returns what was stored.
    pub fn stats(&self) -> SessionStats {
        self.stats
    }
}

/// A write session.
pub struct Session {
    reader: Arc<Reader>,
    options: SessionOptions,
    claims: Arc<Claims>,
    counters: Arc<Counters>,
    engine: Mutex<Option<Arc<Engine>>>,
    /// Chunks that were found in the local index before the store was asked for its own.
    relied_on: Mutex<Vec<ChunkId>>,
}

/// How many chunks may be found in the local index alone before the store is asked.
const RELIED_ON_MAX: usize = 10_000;

impl Session {
    /// Starts a session that dedups against `reader`'s index; nothing is asked of the store until the first new chunk.
    pub fn new(reader: Arc<Reader>, options: SessionOptions) -> Self {
        Self {
            reader,
            options,
            claims: Arc::default(),
            counters: Arc::default(),
            engine: Mutex::default(),
            relied_on: Mutex::default(),
        }
    }

    /// Returns the reader whose index the session dedups against.
    pub fn reader(&self) -> &Arc<Reader> {
        &self.reader
    }

    /// Returns the counters so far.
    pub fn stats(&self) -> SessionStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SessionStats {
            chunks_new: get(&self.counters.chunks_new),
            bytes_new_raw: get(&self.counters.bytes_new_raw),
            bytes_stored: get(&self.counters.bytes_stored),
        }
    }

    /// Returns whether anything was put, so that the store was asked for its index.
    pub fn is_started(&self) -> bool {
        lock(&self.engine).is_some()
    }

    /// Brings the index up to date with the store and starts the threads, once.
    ///
    /// Called with the first chunk: a backup that finds nothing changed never gets here and sends no request.
    pub(super) fn start(&self) -> Result<Arc<Engine>> {
        let mut engine = lock(&self.engine);
        if let Some(engine) = &*engine {
            return Ok(engine.clone());
        }
        let repository = self.reader.repository();
        repository.confirm_key()?;
        self.reader.index().sync(repository.store(), repository.cache(), repository.keyring())?;
        for id in lock(&self.relied_on).drain(..) {
            // Its bytes are gone by now; a second run, with the new index, stores it again.
            self.reader.locate(&id)?.ok_or(Error::MissingChunk { id })?;
        }
        let started = Engine::start(self.reader.clone(), self.options, self.claims.clone(), self.counters.clone())?;
        *engine = Some(started.clone());
        Ok(started)
    }

    /// Returns whether a chunk needs no storing as far as the local index knows, while the store was not asked yet.
    ///
    /// So a file that is read again and found unchanged costs no request.
    pub(super) fn is_known_offline(&self, id: &ChunkId) -> Result<bool> {
        // Held so that no id slips in behind the check that `start` makes of all of them.
        let engine = lock(&self.engine);
        if engine.is_some() || self.reader.locate(id)?.is_none() {
            return Ok(false);
        }
        let mut relied_on = lock(&self.relied_on);
        relied_on.push(*id);
        Ok(relied_on.len() <= RELIED_ON_MAX)
    }

    /// Returns true exactly once for each chunk that is in no pack yet; whoever is told so must put it.
    pub(super) fn claim(&self, id: &ChunkId) -> Result<bool> {
        if self.claims.contains(id) || self.reader.locate(id)?.is_some() {
            return Ok(false);
        }
        Ok(self.claims.insert(id))
    }

    /// Makes everything durable and returns the token for the commit; all lanes must have been flushed.
    ///
    /// Fails with the first error of any thread; what was stored until then is indexed and helps the next backup.
    pub fn finish(self) -> Result<Stored> {
        self.settle()?;
        Ok(Stored { stats: self.stats() })
    }

    /// Makes what was taken so far durable without allowing a commit, for a backup that was interrupted.
    pub fn abandon(self) -> Result<SessionStats> {
        self.settle()?;
        Ok(self.stats())
    }

    fn settle(&self) -> Result<()> {
        let engine = lock(&self.engine).take();
        engine.map_or(Ok(()), |engine| engine.finish())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // An abandoned session must not leave threads behind; its errors have been reported by whoever dropped it.
        let _ = self.settle();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first error of any thread, kept for `finish`.
#[derive(Default)]
pub(super) struct FirstError(Mutex<Option<Error>>, std::sync::atomic::AtomicBool);

impl FirstError {
    fn set(&self, error: Error) {
        self.1.store(true, Ordering::Relaxed);
        lock(&self.0).get_or_insert(error);
    }

    fn is_set(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }

    fn take(&self) -> Option<Error> {
        lock(&self.0).take()
    }
}
