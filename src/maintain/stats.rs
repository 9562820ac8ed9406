//! Statistics of a repository: sizes, and savings by deduplication and compression.
//!
//! Reads the index and the trees, never file content.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::format::container::ChunkKind;
use crate::format::node::Totals;
use crate::format::snapshot::Snapshot;
use crate::id::ChunkId;
use crate::monitor::Monitor;
use crate::repo::audit::{self, ClassUsage};
use crate::repo::index::ChunkPlace;
use crate::repo::read::reachable::{Visitor, visit_reachable};
use crate::repo::{Error, Reader, Result, Trees};
use crate::sync::lock;

/// Figures of one snapshot.
#[derive(Clone, Debug)]
pub struct SnapshotFigures {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Distinct chunks of file content that it refers to.
    pub chunks: u64,
    /// Their bytes before compression, plus [`Self::inline_bytes`]: `snapshot.stats.totals.bytes`
    /// without repetitions and holes.
    pub unique_bytes: u64,
    /// Bytes of small files that are stored in distinct nodes of trees.
    pub inline_bytes: u64,
}

/// Figures of the whole repository.
#[derive(Clone, Debug)]
pub struct RepositoryFigures {
    /// Snapshots.
    pub snapshots: u64,
    /// Snapshots in the trash, which still take space.
    pub forgotten: u64,
    /// Sums over all snapshots, as if each were a full copy.
    pub totals: Totals,
    /// Chunks in the index, including nodes of trees.
    pub chunks_indexed: u64,
    /// Distinct chunks of file content that snapshots refer to.
    pub chunks: u64,
    /// Their bytes before compression, plus [`Self::inline_bytes`].
    pub unique_bytes: u64,
    /// Bytes of small files that are stored in distinct nodes of trees.
    pub inline_bytes: u64,
    /// Distinct nodes of trees and chunk lists that snapshots refer to.
    pub nodes: u64,
    /// Objects and bytes in the store, by class.
    pub usage: Vec<ClassUsage>,
}

impl RepositoryFigures {
    /// Returns the bytes of all objects.
    pub fn stored_bytes(&self) -> u64 {
        self.usage.iter().map(|usage| usage.bytes).sum()
    }

    /// Returns the bytes of one class of objects.
    pub fn stored_bytes_of(&self, class: &str) -> u64 {
        self.usage.iter().filter(|usage| usage.folder == class).map(|usage| usage.bytes).sum()
    }

    /// Returns the bytes of all snapshots divided by their unique bytes; `None` without content.
    pub fn dedup_ratio(&self) -> Option<f64> {
        ratio(self.totals.bytes, self.unique_bytes)
    }

    /// Returns the unique bytes of content divided by their stored bytes, without small files in
    /// trees; `None` without content.
    ///
    /// It is a lower bound, because packs may also hold content that no snapshot refers to any
    /// more.
    pub fn compression_ratio(&self) -> Option<f64> {
        ratio(self.unique_bytes.saturating_sub(self.inline_bytes), self.stored_bytes_of("data"))
    }

    /// Returns the bytes of all snapshots divided by all stored bytes.
    pub fn total_ratio(&self) -> Option<f64> {
        ratio(self.totals.bytes, self.stored_bytes())
    }
}

fn ratio(before: u64, after: u64) -> Option<f64> {
    (after > 0).then(|| before as f64 / after as f64)
}

/// Computes the figures of one snapshot.
pub fn of_snapshot(
    reader: &Arc<Reader>,
    snapshot: &Snapshot,
    threads: usize,
    monitor: &Monitor,
) -> Result<SnapshotFigures> {
    let sums = count(reader, std::slice::from_ref(snapshot), threads, monitor)?;
    let (chunks, bytes, inline_bytes) =
        (sums.chunks.into_inner(), sums.bytes.into_inner(), sums.inline.into_inner());
    let unique_bytes = bytes.saturating_add(inline_bytes);
    Ok(SnapshotFigures { snapshot: snapshot.clone(), chunks, unique_bytes, inline_bytes })
}

/// Computes the figures of all snapshots and of the store; `forgotten` is the number of snapshots
/// in the trash.
pub fn of_repository(
    reader: &Arc<Reader>,
    snapshots: &[Snapshot],
    forgotten: u64,
    threads: usize,
    monitor: &Monitor,
) -> Result<RepositoryFigures> {
    let sums = count(reader, snapshots, threads, monitor)?;
    let (bytes, inline_bytes) = (sums.bytes.into_inner(), sums.inline.into_inner());
    let mut totals = Totals::default();
    snapshots.iter().for_each(|snapshot| totals.add(snapshot.stats.totals));
    Ok(RepositoryFigures {
        snapshots: snapshots.len() as u64,
        forgotten,
        totals,
        chunks_indexed: reader.index().chunk_count(),
        chunks: sums.chunks.into_inner(),
        unique_bytes: bytes.saturating_add(inline_bytes),
        inline_bytes,
        nodes: sums.nodes.into_inner(),
        usage: audit::usage(reader.repository())?,
    })
}

#[derive(Default)]
struct Sums {
    chunks: AtomicU64,
    bytes: AtomicU64,
    inline: AtomicU64,
    nodes: AtomicU64,
    damage: std::sync::Mutex<Option<Error>>,
}

impl Sums {
    fn keep(&self, error: Error) {
        lock(&self.damage).get_or_insert(error);
    }
}

fn count(
    reader: &Arc<Reader>,
    snapshots: &[Snapshot],
    threads: usize,
    monitor: &Monitor,
) -> Result<Sums> {
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(reader.repository().readers(threads)).build();
    let pool = pool.map_err(|error| Error::Threads(error.to_string()))?;
    let roots: Vec<_> =
        snapshots.iter().map(|snapshot| (snapshot.root, snapshot.stats.totals)).collect();
    let mut sums = Sums::default();
    visit_reachable(&Trees::new(reader.clone()), &roots, &sums, &pool, monitor)?;
    // Fails, because figures of a damaged repository would be silently wrong.
    let damage = sums.damage.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    damage.map_or(Ok(sums), Err)
}

impl Visitor for Sums {
    fn reached(
        &self,
        kind: ChunkKind,
        _id: &ChunkId,
        len_bytes: Option<u32>,
        _place: &ChunkPlace,
    ) -> bool {
        if kind == ChunkKind::Data {
            self.chunks.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(u64::from(len_bytes.unwrap_or(0)), Ordering::Relaxed);
        } else {
            self.nodes.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    fn inline(&self, len_bytes: u64) {
        self.inline.fetch_add(len_bytes, Ordering::Relaxed);
    }

    fn missing(&self, _kind: ChunkKind, id: &ChunkId) {
        self.keep(Error::MissingChunk { id: *id });
    }

    fn fault(&self, _kind: ChunkKind, _id: &ChunkId, error: Error) {
        self.keep(error);
    }
}
