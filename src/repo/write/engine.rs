//! Threads of a session: a pool that compresses segments, and writers that seal packs, create them
//! in the store and write index runs.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::claims::Claims;
use super::journal::Journal;
use super::options::{Checkpoints, Counters, FirstError, SessionOptions};
use crate::compress::SegmentCompressor;
use crate::container::{ContainerBuilder, Sealed, SegmentBuilder};
use crate::crypto::container_keys::SealKeys;
use crate::format::container::{ChunkRecord, SegmentCodec};
use crate::format::run::{PackClass, PackRef};
use crate::repo::error::{Error, Result};
use crate::repo::index::{ChunkIndex, PlacedPack, build_run};
use crate::repo::objects::layout;
use crate::repo::read::CompressedSegment;
use crate::store::{ErrorKind, Key, StoreError};
use crate::sync::lock;

/// Packs that are written at once: few to a disk, more to a remote store.
const WRITERS_MIN: usize = 2;
const WRITERS_MAX: usize = 16;
/// Bytes of all packs that are written at once: with many writers packs are smaller.
const IN_FLIGHT_BYTES: usize = 96 << 20;

/// Sizes of packs, and numbers of buffers and threads.
struct Sizes {
    pack_len: [usize; 2],
    pack_buffers: [usize; 2],
    raw_buffers: usize,
    writers: usize,
    chunks_per_run: usize,
}

impl Sizes {
    /// Returns the sizes for a collector: it needs fewer threads, because most of its segments are
    /// compressed already, and it competes with backups.
    fn of_collector(options: &SessionOptions) -> Self {
        let raw_buffers = 2 * options.lanes() + 2;
        Self {
            pack_len: [14 << 20, 4 << 20],
            pack_buffers: [2, 1],
            raw_buffers,
            writers: 1,
            chunks_per_run: 50_000,
        }
    }

    fn new(options: &SessionOptions, transfers: usize) -> Self {
        if options.low_memory {
            let raw_buffers = 2 * options.lanes() + 2;
            return Self {
                pack_len: [8 << 20, 4 << 20],
                pack_buffers: [2, 1],
                raw_buffers,
                writers: 1,
                chunks_per_run: 50_000,
            };
        }
        // Each lane may hold two; the rest are in the pool.
        let raw_buffers = 2 * options.lanes() + (options.threads + 2).min(8);
        let writers = transfers.clamp(WRITERS_MIN, WRITERS_MAX);
        let data_len = (IN_FLIGHT_BYTES / writers).min(28 << 20);
        let pack_len = [data_len, data_len.min(8 << 20)];
        Self {
            pack_len,
            pack_buffers: [writers + 1, 2],
            raw_buffers,
            writers,
            chunks_per_run: 100_000,
        }
    }
}

/// Packs that are durable and that no run names yet.
struct Placed {
    packs: Vec<PlacedPack>,
    /// Chunks in `packs`.
    chunks: usize,
    checkpoint: Instant,
    /// Bytes of packs since the last checkpoint.
    bytes: u64,
}

impl Placed {
    fn new() -> Self {
        Self { packs: Vec::new(), chunks: 0, checkpoint: Instant::now(), bytes: 0 }
    }

    fn push(&mut self, placed: PlacedPack) {
        self.chunks +=
            placed.toc.segments.iter().map(|segment| segment.chunks.len()).sum::<usize>();
        self.bytes += u64::from(placed.pack.len);
        self.packs.push(placed);
    }

    fn is_checkpoint_due(&self, after: Checkpoints) -> bool {
        self.checkpoint.elapsed() >= after.interval || self.bytes >= after.bytes
    }

    fn take(&mut self, is_checkpoint: bool) -> Vec<PlacedPack> {
        self.chunks = 0;
        if is_checkpoint {
            (self.checkpoint, self.bytes) = (Instant::now(), 0);
        }
        std::mem::take(&mut self.packs)
    }
}

type Pool = (Sender<Vec<u8>>, Receiver<Vec<u8>>);

/// The threads of a session, and the buffers that they share.
pub(crate) struct Engine {
    index: Arc<ChunkIndex>,
    keys: SealKeys,
    options: SessionOptions,
    sizes: Sizes,
    claims: Arc<Claims>,
    counters: Arc<Counters>,
    pool: rayon::ThreadPool,
    compressors: Mutex<Vec<SegmentCompressor>>,
    raw_buffers: Pool,
    pack_buffers: [Pool; 2],
    open_packs: [Mutex<Option<ContainerBuilder>>; 2],
    to_write: Mutex<Option<Sender<(PackClass, ContainerBuilder)>>>,
    writers: Mutex<Vec<JoinHandle<()>>>,
    placed: Mutex<Placed>,
    journal: Arc<Journal>,
    failure: FirstError,
}

impl Engine {
    /// Starts the threads.
    pub(crate) fn start(
        index: Arc<ChunkIndex>,
        options: SessionOptions,
        claims: Arc<Claims>,
        counters: Arc<Counters>,
        journal: Arc<Journal>,
    ) -> Result<Arc<Self>> {
        let is_collector = journal.identity().is_none();
        let sizes = if is_collector && !options.low_memory {
            Sizes::of_collector(&options)
        } else {
            Sizes::new(&options, index.repository().store().properties().parallelism)
        };
        let named = |index| format!("compress-{index}");
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(options.threads.max(1))
            .thread_name(named)
            .build();
        let (to_write, packs) = unbounded();
        let engine = Arc::new(Self {
            pool: pool.map_err(|error| Error::Threads(error.to_string()))?,
            raw_buffers: filled(sizes.raw_buffers, 0),
            pack_buffers: [0, 1]
                .map(|class| filled(sizes.pack_buffers[class], sizes.pack_len[class] + (4 << 20))),
            open_packs: Default::default(),
            to_write: Mutex::new(Some(to_write)),
            writers: Mutex::default(),
            placed: Mutex::new(Placed::new()),
            journal,
            failure: FirstError::default(),
            compressors: Mutex::default(),
            keys: index.repository().seal_keys().clone(),
            index,
            options,
            sizes,
            claims,
            counters,
        });
        for index in 0..engine.sizes.writers {
            let (engine_of_thread, packs) = (engine.clone(), packs.clone());
            let run = move || engine_of_thread.write_packs(&packs);
            let thread = std::thread::Builder::new().name(format!("write-{index}")).spawn(run);
            lock(&engine.writers).push(thread.map_err(|error| Error::Threads(error.to_string()))?);
        }
        Ok(engine)
    }

    /// Returns whether a thread has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_set()
    }

    /// Returns an empty buffer for a segment; waits while all are in use.
    pub(crate) fn raw_buffer(&self) -> Vec<u8> {
        self.raw_buffers.1.recv().expect("the engine holds both ends")
    }

    /// Compresses a segment on the pool and adds it to the open pack.
    pub(crate) fn submit(self: &Arc<Self>, class: PackClass, segment: SegmentBuilder) {
        let engine = self.clone();
        self.pool.spawn(move || {
            let (raw, chunks) = segment.finish();
            if !engine.has_failed() {
                let made = lock(&engine.compressors).pop();
                let mut compressor = made.unwrap_or_else(|| engine.compressor());
                match compressor.compress(&raw) {
                    Some(body) => engine.add_to_pack(class, |pack| {
                        pack.push(SegmentCodec::Zstd, body, raw.len(), chunks)
                    }),
                    None => engine.add_to_pack(class, |pack| {
                        pack.push(SegmentCodec::Raw, &raw, raw.len(), chunks)
                    }),
                }
                lock(&engine.compressors).push(compressor);
            }
            engine.raw_buffers.0.send(raw).expect("the engine holds both ends");
        });
    }

    fn compressor(&self) -> SegmentCompressor {
        let make = if self.journal.identity().is_none() {
            SegmentCompressor::thorough
        } else {
            SegmentCompressor::new
        };
        make(self.options.compression)
    }

    /// Adds a segment that is already compressed to the open pack.
    pub(crate) fn submit_compressed(
        &self,
        class: PackClass,
        segment: &CompressedSegment,
        chunks: Vec<ChunkRecord>,
    ) {
        let frame = &segment.frame;
        self.add_to_pack(class, |pack| {
            pack.push(frame.codec, segment.body(), frame.raw_len as usize, chunks)
        });
    }

    fn add_to_pack(&self, class: PackClass, push: impl FnOnce(&mut ContainerBuilder)) {
        let full = {
            let mut open = lock(&self.open_packs[class as usize]);
            let new = || {
                let buffer =
                    self.pack_buffers[class as usize].1.recv().expect("the engine holds both ends");
                ContainerBuilder::new(layout::container_kind(class), buffer)
            };
            let pack = open.get_or_insert_with(new);
            push(pack);
            // The next segment and the table of contents still have to fit.
            let is_full = pack.len_bytes() + (2 << 20) >= self.sizes.pack_len[class as usize];
            if is_full { open.take() } else { None }
        };
        if let Some(pack) = full {
            self.send_pack(class, pack);
        }
    }

    fn send_pack(&self, class: PackClass, pack: ContainerBuilder) {
        if let Some(to_write) = &*lock(&self.to_write) {
            to_write.send((class, pack)).expect("writers live until the sender is dropped");
        }
    }

    /// A writer thread: seals and creates packs until the session ends.
    fn write_packs(&self, packs: &Receiver<(PackClass, ContainerBuilder)>) {
        for (class, pack) in packs {
            if self.has_failed() {
                let _ = self.pack_buffers[class as usize].0.send(Vec::new());
                continue;
            }
            let written = self.write_pack(class, pack).and_then(|()| self.write_run_if_due(false));
            if let Err(error) = written {
                self.failure.set(error);
            }
        }
    }

    fn write_pack(&self, class: PackClass, pack: ContainerBuilder) -> Result<()> {
        let repository = self.index.repository();
        let random = repository.random_32();
        let sealed = match random {
            Ok(random) => pack.finish_pack(&self.keys, &random),
            Err(error) => {
                let _ = self.pack_buffers[class as usize].0.send(Vec::new());
                return Err(error);
            }
        };
        let Sealed { name, salt, bytes, toc } = sealed;
        let stored = self.create(&layout::pack_key(class, &name), &bytes);
        if class == PackClass::Meta && stored.is_ok() {
            // The copy is only a hint: without it the next backup reads the pack from the store.
            let _ = repository.cache().write_trees(&name.to_hex(), &bytes);
        }
        let len = u32::try_from(bytes.len()).expect("packs are at most 256 MiB");
        self.pack_buffers[class as usize].0.send(bytes).expect("the engine holds both ends");
        stored?;
        self.journal.depend_on(name);
        lock(&self.placed).push(PlacedPack { pack: PackRef { class, name, len, salt }, toc });
        Ok(())
    }

    /// Creates an object whose name is the hash of its bytes: one that exists already has the same
    /// content.
    fn create(&self, key: &Key, bytes: &[u8]) -> Result<()> {
        match self.index.repository().store().create(key, bytes) {
            Ok(()) | Err(StoreError { kind: ErrorKind::Exists, .. }) => {
                self.counters.bytes_stored.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes an index run for the durable packs if one is due, and drops their ids from memory.
    fn write_run_if_due(&self, at_end: bool) -> Result<()> {
        let (packs, is_checkpoint) = {
            let mut placed = lock(&self.placed);
            let is_checkpoint = !at_end && placed.is_checkpoint_due(self.options.checkpoints);
            if placed.packs.is_empty()
                || !(at_end || is_checkpoint || placed.chunks >= self.sizes.chunks_per_run)
            {
                return Ok(());
            }
            (placed.take(is_checkpoint), is_checkpoint)
        };
        let repository = self.index.repository();
        let run = build_run(repository, &packs, self.journal.origin())?;
        self.create(&layout::run_key(0, &run.name), &run.bytes)?;
        self.counters.bytes_of_runs.fetch_add(run.bytes.len() as u64, Ordering::Relaxed);
        self.index.set().add(repository.cache(), repository.records(), run.name, &run.bytes)?;
        let chunks =
            packs.iter().flat_map(|pack| &pack.toc.segments).flat_map(|segment| &segment.chunks);
        self.claims.forget(chunks.map(|chunk| &chunk.id));
        // The intent may name only durable packs with a durable run. Packs that other writers
        // finish meanwhile are named before their run, which is harmless: the session cannot commit
        // without them.
        if is_checkpoint { self.journal.checkpoint(repository) } else { Ok(()) }
    }

    /// Waits until every segment is in a pack, and every pack is durable and named by a run.
    pub(crate) fn finish(&self) -> Result<()> {
        for _ in 0..self.sizes.raw_buffers {
            // When all buffers are back, no segment is left in the pool.
            self.raw_buffer();
        }
        for class in [PackClass::Meta, PackClass::Data] {
            let open = lock(&self.open_packs[class as usize]).take();
            if let Some(pack) = open {
                self.send_pack(class, pack);
            }
        }
        lock(&self.to_write).take();
        for writer in lock(&self.writers).drain(..) {
            if writer.join().is_err() {
                self.failure.set(Error::Threads("a writer panicked".to_owned()));
            }
        }
        // This is done after a failure, too: durable packs help the next backup.
        let written = self.write_run_if_due(true);
        self.failure.take().map_or(written, Err)
    }
}

/// Returns a pool of `count` buffers with room for `capacity` bytes each (taken from the system
/// only when touched).
fn filled(count: usize, capacity: usize) -> Pool {
    let (sender, receiver) = bounded(count);
    for _ in 0..count {
        sender.send(Vec::with_capacity(capacity)).expect("there is room for all of them");
    }
    (sender, receiver)
}
