//! Lane of one thread into a session, with its own open segments, so that neighbours in the source
//! stay neighbours in the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Session;
use super::engine::Engine;
use super::options::Counters;
use crate::container::SegmentBuilder;
use crate::format::container::{ChunkKind, ChunkRecord};
use crate::format::run::PackClass;
use crate::id::{ChunkId, ObjectId};
use crate::repo::error::{Error, Result};
use crate::repo::read::CompressedSegment;

/// Raw bytes after which a segment of data or of tree nodes is closed.
///
/// Measured, see `benches/RESULTS.md`, "Segment size". Nodes are read one by one, from many places,
/// so their segments are smaller.
const SEGMENT_LEN_BYTES: [usize; 2] = [2 << 20, 1 << 20];

/// A thread's open segments.
pub struct Lane<'s> {
    session: &'s Session,
    engine: Option<Arc<Engine>>,
    open: [Option<SegmentBuilder>; 2],
    last_pack: Option<ObjectId>,
}

impl<'s> Lane<'s> {
    /// Opens a lane; each thread needs its own.
    pub fn new(session: &'s Session) -> Self {
        Self { session, engine: None, open: [None, None], last_pack: None }
    }

    /// Returns the session that the lane belongs to.
    pub fn session(&self) -> &'s Session {
        self.session
    }

    /// Stores a chunk if it is new to the repository, and returns whether it is.
    ///
    /// Waits while the pipeline is full. Fails if any thread of the session has failed: then
    /// nothing can be committed any more.
    pub fn put(&mut self, kind: ChunkKind, id: &ChunkId, bytes: &[u8]) -> Result<bool> {
        if self.engine.is_none() {
            if self.session.is_known_offline(id)? {
                return Ok(false);
            }
            self.engine = Some(self.session.start()?);
        }
        let engine = self.engine.as_ref().expect("just started");
        if engine.has_failed() {
            return Err(Error::Stopped);
        }
        if !self.session.claim(id, &mut self.last_pack)? {
            return Ok(false);
        }
        self.count(bytes.len() as u64);
        if self.session.options.dry_run {
            return Ok(true);
        }
        let class = class_of(kind);
        let open = self.open[class as usize]
            .get_or_insert_with(|| SegmentBuilder::new(engine.raw_buffer()));
        open.push(kind, *id, bytes);
        if open.len_bytes() >= SEGMENT_LEN_BYTES[class as usize] || open.is_full() {
            let full = self.open[class as usize].take().expect("it is open");
            engine.submit(class, full);
        }
        Ok(true)
    }

    /// Stores a whole compressed segment as it is, without a look into the index: a collector knows
    /// its chunks, and that no other pack holds them.
    pub fn put_compressed(
        &mut self,
        segment: &CompressedSegment,
        chunks: Vec<ChunkRecord>,
    ) -> Result<()> {
        let engine = match &self.engine {
            Some(engine) => engine.clone(),
            None => self.engine.insert(self.session.start()?).clone(),
        };
        if engine.has_failed() {
            return Err(Error::Stopped);
        }
        for chunk in &chunks {
            self.count(u64::from(chunk.len));
        }
        let class = class_of(chunks.first().map_or(ChunkKind::Data, |chunk| chunk.kind));
        engine.submit_compressed(class, segment, chunks);
        Ok(())
    }

    fn count(&self, len_bytes: u64) {
        let counters: &Counters = &self.session.counters;
        counters.chunks_new.fetch_add(1, Ordering::Relaxed);
        counters.bytes_new_raw.fetch_add(len_bytes, Ordering::Relaxed);
    }

    /// Submits the open segments, even if they are not full.
    pub fn flush(&mut self) {
        let Some(engine) = &self.engine else {
            return;
        };
        for class in [PackClass::Data, PackClass::Meta] {
            if let Some(open) = self.open[class as usize].take() {
                engine.submit(class, open);
            }
        }
    }
}

fn class_of(kind: ChunkKind) -> PackClass {
    if kind == ChunkKind::Data { PackClass::Data } else { PackClass::Meta }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        // This happens after an error, too: the buffer must go back, and its chunks may help the
        // next backup.
        self.flush();
    }
}
