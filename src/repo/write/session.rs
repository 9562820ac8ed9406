//! One write session: chunks in, durable packs and index runs out, and only then a token that
//! allows a commit.
//!
//! ```text
//! Lane::put ── claim ── new? ── segment ── compress (pool) ── pack ── seal, create (writers) ── index run
//! ```
//!
//! Memory is bounded by the number of buffers: a full pipeline makes `put` wait. If the process
//! dies at any point, the packs and runs that were created stay valid and are found by the next
//! backup; packs that no run names yet are garbage for a collector. What the session relies on
//! stands in its journal. Spec: `format-spec/13-commit.md`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::claims::Claims;
use super::engine::Engine;
use super::journal::{Journal, SessionIdentity};
use super::options::{Counters, SessionOptions, SessionStats};
use crate::crypto::ids::IdKeys;
use crate::id::{ChunkId, ObjectId, SnapshotId};
use crate::repo::error::{Error, Result};
use crate::repo::gc::horizon::{self, Horizon};
use crate::repo::index::ChunkIndex;
use crate::repo::objects::layout;
use crate::repo::open::Repository;
use crate::sync::lock;

/// Proof that everything a session took is durable: without it no snapshot can be committed.
pub struct DurablePacks {
    stats: SessionStats,
    pub(in crate::repo) index: Arc<ChunkIndex>,
    pub(in crate::repo) options: SessionOptions,
    pub(in crate::repo) journal: Arc<Journal>,
}

impl DurablePacks {
    /// Returns what was stored.
    pub fn stats(&self) -> SessionStats {
        self.stats
    }
}

/// Who makes a session, and so how it begins.
enum SessionOrigin {
    /// A backup, that asks the store when it must.
    Backup(SessionIdentity),
    /// A backup that goes on under the same name, with the number of its next intent.
    Resumed(SessionIdentity, SnapshotId, u64),
    /// A collector, that has asked already.
    Collector(Horizon),
}

/// A write session.
pub struct Session {
    index: Arc<ChunkIndex>,
    pub(super) options: SessionOptions,
    claims: Arc<Claims>,
    pub(super) counters: Arc<Counters>,
    origin: SessionOrigin,
    journal: Mutex<Option<Arc<Journal>>>,
    /// Whether the index is only what this machine knew before.
    is_outdated: AtomicBool,
    engine: Mutex<Option<Arc<Engine>>>,
    /// Chunks that were found in the local index before the store was asked for its own.
    found_offline: Mutex<Vec<ChunkId>>,
}

/// Bytes of new chunks from which on it is worth two requests to know what others stored.
const CATCH_UP_BYTES: u64 = 8 << 20;
/// How many chunks may be found in the local index alone before the store is asked.
const FOUND_OFFLINE_MAX: usize = 10_000;

impl Session {
    /// Starts a session that dedups against `index`; nothing is asked of the store until
    /// the first new chunk.
    pub fn new(index: Arc<ChunkIndex>, options: SessionOptions, identity: SessionIdentity) -> Self {
        Self::begin(index, options, SessionOrigin::Backup(identity))
    }

    /// Starts a session that stores more for one that finished, under the same name.
    pub(in crate::repo) fn resume(durable: DurablePacks) -> Option<Self> {
        let DurablePacks { index, options, journal, .. } = durable;
        let origin = SessionOrigin::Resumed(
            journal.identity()?.clone(),
            journal.session()?,
            journal.next_number(),
        );
        Some(Self::begin(index, options, origin))
    }

    /// Starts a collector's session, which relies on nothing and stores what `index` does
    /// not trust.
    pub fn of_collector(index: Arc<ChunkIndex>, options: SessionOptions, horizon: Horizon) -> Self {
        Self::begin(index, options, SessionOrigin::Collector(horizon))
    }

    fn begin(index: Arc<ChunkIndex>, options: SessionOptions, origin: SessionOrigin) -> Self {
        Self {
            index,
            options,
            claims: Arc::default(),
            counters: Arc::default(),
            origin,
            journal: Mutex::default(),
            is_outdated: AtomicBool::default(),
            engine: Mutex::default(),
            found_offline: Mutex::default(),
        }
    }

    /// Returns the index that the session dedups against.
    pub fn index(&self) -> &Arc<ChunkIndex> {
        &self.index
    }

    /// Returns the repository that the session writes to.
    pub fn repository(&self) -> &Arc<Repository> {
        self.index.repository()
    }

    /// Returns what names chunks and cuts files.
    pub fn ids(&self) -> &IdKeys {
        self.repository().ids()
    }

    /// Returns the counters so far.
    pub fn stats(&self) -> SessionStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SessionStats {
            chunks_new: get(&self.counters.chunks_new),
            bytes_new_raw: get(&self.counters.bytes_new_raw),
            bytes_stored: get(&self.counters.bytes_stored),
            bytes_of_runs: get(&self.counters.bytes_of_runs),
        }
    }

    /// Returns whether anything was put, so that the store was asked for its index.
    pub fn is_started(&self) -> bool {
        lock(&self.engine).is_some()
    }

    /// Brings the index up to date with the store, if that was put off and is worth it by now.
    ///
    /// The horizon stays what it was: what was relied on before is judged by it.
    fn catch_up(&self) -> Result<()> {
        if self.counters.bytes_new_raw.load(Ordering::Relaxed) >= CATCH_UP_BYTES
            && self.is_outdated.swap(false, Ordering::Relaxed)
        {
            horizon::sync(&self.index)?;
            horizon::forget(self.index.repository());
        }
        Ok(())
    }

    /// Confirms the key and learns what to avoid, once, and returns the journal.
    pub(in crate::repo) fn open_journal(&self) -> Result<Arc<Journal>> {
        let mut journal = lock(&self.journal);
        if let Some(journal) = &*journal {
            return Ok(journal.clone());
        }
        let repository = self.index.repository();
        let begin = |identity: &SessionIdentity, session, number| {
            repository.confirm_key()?;
            // A session that stores little does with what this machine knows already; the look
            // before the commit decides.
            let noted = if number == 0 { horizon::noted(&self.index) } else { None };
            self.is_outdated.store(noted.is_some(), Ordering::Relaxed);
            let horizon = noted.map_or_else(|| horizon::sync(&self.index), Ok)?;
            Ok::<_, Error>(Journal::of_session(session, identity.clone(), horizon, number))
        };
        let made = Arc::new(match &self.origin {
            SessionOrigin::Backup(identity) => {
                begin(identity, layout::new_session(&repository.random_32()?), 0)?
            }
            SessionOrigin::Resumed(identity, session, number) => {
                begin(identity, *session, *number)?
            }
            SessionOrigin::Collector(horizon) => Journal::of_collector(horizon.clone()),
        });
        for id in lock(&self.found_offline).drain(..) {
            // Its bytes are gone by now; the backup begins again and stores it from the source.
            made.depend_on(self.index.locate_trusted(&id)?.ok_or(Error::Swept { id })?.pack.name);
        }
        *journal = Some(made.clone());
        Ok(made)
    }

    /// Starts the threads, once.
    ///
    /// Called with the first chunk: a backup that finds nothing changed never gets here and sends
    /// no request.
    pub(in crate::repo) fn start(&self) -> Result<Arc<Engine>> {
        let mut engine = lock(&self.engine);
        if let Some(engine) = &*engine {
            return Ok(engine.clone());
        }
        let journal = self.open_journal()?;
        if !self.options.dry_run {
            horizon::forget(self.index.repository());
        }
        let started = Engine::start(
            self.index.clone(),
            self.options,
            self.claims.clone(),
            self.counters.clone(),
            journal,
        )?;
        *engine = Some(started.clone());
        Ok(started)
    }

    /// Returns whether a chunk needs no storing as far as the local index knows, while the store
    /// was not asked yet.
    ///
    /// So a file that is read again and found unchanged costs no request.
    pub(in crate::repo) fn is_known_offline(&self, id: &ChunkId) -> Result<bool> {
        // Held so that no id slips in behind the check that `start` makes of all of them.
        let engine = lock(&self.engine);
        if engine.is_some()
            || lock(&self.journal).is_some()
            || self.index.locate_trusted(id)?.is_none()
        {
            return Ok(false);
        }
        let mut found_offline = lock(&self.found_offline);
        found_offline.push(*id);
        Ok(found_offline.len() <= FOUND_OFFLINE_MAX)
    }

    /// Claims a missing chunk: true for exactly one caller, which must then put
    /// it.
    ///
    /// `last` is the pack that the caller was led to before: neighbours mostly lie together.
    pub(in crate::repo) fn claim(&self, id: &ChunkId, last: &mut Option<ObjectId>) -> Result<bool> {
        if self.claims.contains(id) {
            return Ok(false);
        }
        if self.is_outdated.load(Ordering::Relaxed) {
            self.catch_up()?;
        }
        if let Some(location) = self.index.locate_trusted(id)? {
            if last.replace(location.pack.name) != Some(location.pack.name) {
                self.open_journal()?.depend_on(location.pack.name);
            }
            return Ok(false);
        }
        Ok(self.claims.insert(id))
    }

    /// Makes everything durable and returns the token for the commit; all lanes must have been
    /// flushed.
    ///
    /// Fails with the first error of any thread; what was stored until then is indexed and helps
    /// the next backup.
    pub fn finish(self) -> Result<DurablePacks> {
        let journal = self.open_journal()?;
        self.settle()?;
        let stats = self.stats();
        Ok(DurablePacks { stats, index: self.index.clone(), options: self.options, journal })
    }

    /// Makes what was taken so far durable without allowing a commit, for a backup that was
    /// interrupted.
    pub fn abandon(self) -> Result<SessionStats> {
        self.settle()?;
        if let Some(journal) = lock(&self.journal).as_ref().filter(|_| !self.options.dry_run) {
            journal.checkpoint(self.index.repository())?;
        }
        Ok(self.stats())
    }

    fn settle(&self) -> Result<()> {
        let engine = lock(&self.engine).take();
        engine.map_or(Ok(()), |engine| engine.finish())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // An abandoned session must not leave threads behind; its errors have been reported by
        // the caller.
        let _ = self.settle();
    }
}
