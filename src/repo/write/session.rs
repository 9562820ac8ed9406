//! Write session: takes chunks, makes packs and index runs durable, and only then returns the token
//! that a commit needs.
//!
//! ```text
//! Lane::put ─ claim ─ new? ─ segment ─ compress (pool) ─ pack ─ seal, create (writers) ─ index run
//! ```
//!
//! Memory is bounded by the number of buffers: a full pipeline makes `put` wait. If the process
//! dies, the packs and runs that it created stay valid, and the next backup uses them; packs that
//! no run names yet are garbage for a collector. The journal of the session holds what it relies
//! on.
//!
//! Spec: `format-spec/13-commit.md`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::claims::Claims;
use super::engine::Engine;
use super::journal::{Journal, SessionIdentity};
use super::options::{Counters, SessionOptions, SessionStats};
use crate::crypto::id_keys::IdKeys;
use crate::id::{ChunkId, ObjectId, SnapshotId};
use crate::repo::error::{Error, Result};
use crate::repo::gc::horizon::{self, Horizon};
use crate::repo::index::ChunkIndex;
use crate::repo::objects::layout;
use crate::repo::open::Repository;
use crate::sync::lock;

/// Proof that all chunks of a session are durable; a snapshot cannot be committed without it.
pub struct DurablePacks {
    stats: SessionStats,
    pub(in crate::repo) index: Arc<ChunkIndex>,
    pub(in crate::repo) options: SessionOptions,
    pub(in crate::repo) journal: Arc<Journal>,
}

impl DurablePacks {
    /// Returns numbers of what was stored.
    pub fn stats(&self) -> SessionStats {
        self.stats
    }
}

/// Kind of a session, which decides how it begins.
enum SessionOrigin {
    /// A backup; it lists the index and the generations in the store when it must.
    Backup(SessionIdentity),
    /// A backup that continues under the same session id, with the number of its next intent.
    Resumed(SessionIdentity, SnapshotId, u64),
    /// A collector, which has listed them already.
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
    /// Whether the index holds only what this machine had cached.
    is_outdated: AtomicBool,
    engine: Mutex<Option<Arc<Engine>>>,
    /// Packs of chunks that were found in the cached index before the index in the store was
    /// listed, each with one of these chunks. Not all chunks: those of a large dump would be many.
    found_offline: Mutex<HashMap<ObjectId, ChunkId>>,
}

/// Bytes of new chunks after which two requests are worth it, to know what other machines stored.
const CATCH_UP_BYTES: u64 = 8 << 20;

impl Session {
    /// Starts a session that deduplicates against `index`; it sends no request before the first new
    /// chunk.
    pub fn new(index: Arc<ChunkIndex>, options: SessionOptions, identity: SessionIdentity) -> Self {
        Self::begin(index, options, SessionOrigin::Backup(identity))
    }

    /// Starts a session that continues a finished one, under the same session id.
    pub(in crate::repo) fn resume(durable: DurablePacks) -> Option<Self> {
        let DurablePacks { index, options, journal, .. } = durable;
        let origin = SessionOrigin::Resumed(
            journal.identity()?.clone(),
            journal.session()?,
            journal.next_number(),
        );
        Some(Self::begin(index, options, origin))
    }

    /// Starts a collector's session, which relies on nothing and stores all chunks for which
    /// `index` has no trusted place.
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

    /// Returns the index against which the session deduplicates.
    pub fn index(&self) -> &Arc<ChunkIndex> {
        &self.index
    }

    /// Returns the repository that the session writes to.
    pub fn repository(&self) -> &Arc<Repository> {
        self.index.repository()
    }

    /// Returns the keys that name chunks and cut files.
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

    /// Returns whether a chunk was put, so that the threads run and the horizon is known.
    pub fn is_started(&self) -> bool {
        lock(&self.engine).is_some()
    }

    /// Updates the index from the store, if that was postponed and is worth it by now.
    ///
    /// The horizon stays as it was: earlier dependencies are judged by it.
    fn catch_up(&self) -> Result<()> {
        if self.counters.bytes_new_raw.load(Ordering::Relaxed) >= CATCH_UP_BYTES
            && self.is_outdated.swap(false, Ordering::Relaxed)
        {
            horizon::sync(&self.index)?;
            horizon::forget(self.index.repository());
        }
        Ok(())
    }

    /// Returns the journal; the first call confirms the key and reads the horizon.
    pub(in crate::repo) fn open_journal(&self) -> Result<Arc<Journal>> {
        let mut journal = lock(&self.journal);
        if let Some(journal) = &*journal {
            return Ok(journal.clone());
        }
        let repository = self.index.repository();
        let begin = |identity: &SessionIdentity, session, number| {
            repository.confirm_key()?;
            // A session that stores little can begin with the cached index; the check before the
            // commit decides.
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
        for (pack, id) in lock(&self.found_offline).drain() {
            // The caller does not have the chunk's bytes any more; so the backup begins again and
            // stores it from the source. A run that names a pack names all its chunks.
            if !self.index.set().is_trusted_pack(&pack) {
                return Err(Error::Swept { id });
            }
            made.depend_on(pack);
        }
        *journal = Some(made.clone());
        Ok(made)
    }

    /// Starts the threads, once.
    ///
    /// The first chunk calls this: a backup of unchanged sources never does, and sends no request.
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

    /// Returns whether the cached index has a chunk, while the store was not asked yet.
    ///
    /// Then a file that is read again but has not changed costs no request.
    pub(in crate::repo) fn is_known_offline(&self, id: &ChunkId) -> Result<bool> {
        // The lock is held so that no pack is added after `start` has checked all of them.
        let engine = lock(&self.engine);
        if engine.is_some() || lock(&self.journal).is_some() {
            return Ok(false);
        }
        let Some(location) = self.index.locate_trusted(id)? else {
            return Ok(false);
        };
        lock(&self.found_offline).entry(location.pack.name).or_insert(*id);
        Ok(true)
    }

    /// Claims a missing chunk: true for exactly one caller, which must then store it.
    ///
    /// `last` is the pack of the caller's previous chunk: neighbours are mostly in one pack, so the
    /// journal is asked less often.
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

    /// Makes everything durable and returns the token for the commit. All lanes must have been
    /// flushed.
    ///
    /// Fails with the first error of any thread. What was stored until then is indexed and helps
    /// the next backup.
    pub fn finish(self) -> Result<DurablePacks> {
        let journal = self.open_journal()?;
        self.settle()?;
        let stats = self.stats();
        Ok(DurablePacks { stats, index: self.index.clone(), options: self.options, journal })
    }

    /// Makes everything durable without allowing a commit, for a backup that was interrupted.
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
        // An abandoned session must end its threads; the caller has reported its errors.
        let _ = self.settle();
    }
}
