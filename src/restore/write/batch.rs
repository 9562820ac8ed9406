//! Batches of chunks to fetch: collected, located in the index, and planned as reads of packs.

use std::collections::HashMap;
use std::sync::Arc;

use super::compare::ChunkToFetch;
use super::context::RestoreContext;
use super::file_job::FileJob;
use super::finish::{piece_damaged, piece_done};
use super::write_chunks::Batch;
use crate::format::run::PackRef;
use crate::id::{ChunkId, ObjectId};
use crate::repo::{Error, Location};
use crate::restore::plan::read_plan::{BatchLocation, ChunkTarget, FileChunk, plan_reads};

/// Chunks of the first batch: few, so that the workers start soon; each batch is four times as
/// large as the one before.
const FIRST_BATCH_CHUNKS: usize = 8 << 10;
/// Most chunks in a batch. Two batches are in memory; a chunk takes about 150 bytes while it is
/// planned, and a file 250 more.
const BATCH_CHUNKS_MAX: usize = 64 << 10;
/// The limit with `low_memory`.
const BATCH_CHUNKS_MAX_LOW: usize = 16 << 10;
/// Longest ranged read in bytes, from local and from distant stores, where a request costs as much
/// as a megabyte.
const READ_LEN_MAX_BYTES: u32 = 4 << 20;
const READ_LEN_MAX_BYTES_DISTANT: u32 = 8 << 20;
/// The limit with `low_memory`.
const READ_LEN_MAX_BYTES_LOW: u32 = 1 << 20;

/// A batch that is being collected.
pub(crate) struct BatchBuilder {
    files: Vec<Arc<FileJob>>,
    /// Chunks, and the position of the file of each.
    chunks: Vec<(u32, FileChunk)>,
    limit: usize,
}

impl BatchBuilder {
    /// Starts with a small batch.
    pub(crate) fn new() -> Self {
        Self { files: Vec::new(), chunks: Vec::new(), limit: FIRST_BATCH_CHUNKS }
    }

    /// Adds a chunk that its file has counted as pending.
    pub(crate) fn push(&mut self, wanted: ChunkToFetch) {
        if self.files.last().is_none_or(|last| !Arc::ptr_eq(last, &wanted.job)) {
            self.files.push(wanted.job);
        }
        let file = u32::try_from(self.files.len() - 1).expect("a batch has few files");
        self.chunks.push((file, wanted.chunk));
    }

    /// Returns whether the batch should be planned now.
    pub(crate) fn is_full(&self) -> bool {
        self.chunks.len() >= self.limit
    }

    /// Plans what was collected; `None` if nothing was, or nothing of it can be found.
    ///
    /// Reports files with chunks that are not in the index.
    pub(crate) fn take_batch(&mut self, context: &RestoreContext) -> Option<Batch> {
        if self.chunks.is_empty() {
            return None;
        }
        let low = context.options.low_memory;
        let max = if low { BATCH_CHUNKS_MAX_LOW } else { BATCH_CHUNKS_MAX };
        self.limit = (self.limit * 4).min(max);
        let (files, chunks) = (std::mem::take(&mut self.files), std::mem::take(&mut self.chunks));
        let (locations, packs) = locate_all(context, &chunks)?;
        let mut targets = Vec::with_capacity(chunks.len());
        for ((file, chunk), location) in chunks.into_iter().zip(locations) {
            match location {
                Some(location) => targets.push(ChunkTarget { location, file, chunk }),
                None => {
                    let job = &files[file as usize];
                    piece_damaged(context, job, &Error::MissingChunk { id: chunk.id });
                    piece_done(context, job);
                }
            }
        }
        let read_len_max_bytes = match context.trees.reader().repository().parallelism() {
            _ if low => READ_LEN_MAX_BYTES_LOW,
            0 | 1 => READ_LEN_MAX_BYTES,
            _ => READ_LEN_MAX_BYTES_DISTANT,
        };
        let plan = plan_reads(targets, read_len_max_bytes);
        (!plan.reads.is_empty()).then_some(Batch { plan, files, packs })
    }
}

/// Locates all chunks; `None` if the index cannot be read, which stops the restore.
///
/// Looks them up in the order of ids, by which the index is sorted, so each of its blocks is opened
/// once. Packs are numbered in the order of the chunks, so that files are restored about in the
/// order of the walk.
fn locate_all(
    context: &RestoreContext,
    chunks: &[(u32, FileChunk)],
) -> Option<(Vec<Option<BatchLocation>>, Vec<PackRef>)> {
    let mut order: Vec<u32> = (0u32..).take(chunks.len()).collect();
    order.sort_unstable_by(|a, b| chunks[*a as usize].1.id.cmp(&chunks[*b as usize].1.id));
    let mut found = Packs::default();
    let mut locations = vec![None; chunks.len()];
    let mut last: Option<(ChunkId, Option<BatchLocation>)> = None;
    for position in order {
        let (_, FileChunk { id, .. }) = chunks[position as usize];
        let known = last.filter(|(before, _)| *before == id).map(|(_, location)| location);
        let location = match known {
            Some(location) => location,
            None => match context.trees.reader().locate(&id) {
                Ok(location) => location.map(|location| found.in_batch(&location)),
                // A damaged block of the index hides its chunks and no others.
                Err(error) if error.is_damage() => None,
                Err(error) => {
                    context.stop(error.into());
                    return None;
                }
            },
        };
        locations[position as usize] = location;
        last = Some((id, location));
    }
    let packs = renumber(&mut locations, &found.packs);
    Some((locations, packs))
}

#[derive(Default)]
struct Packs {
    numbers: HashMap<ObjectId, u32>,
    packs: Vec<PackRef>,
}

impl Packs {
    fn in_batch(&mut self, location: &Location) -> BatchLocation {
        let next = self.packs.len() as u32;
        let pack = *self.numbers.entry(location.pack.name).or_insert(next);
        if pack == next {
            self.packs.push(location.pack);
        }
        BatchLocation {
            pack,
            offset: location.offset,
            stored_len: location.stored_len,
            chunk: location.chunk,
        }
    }
}

/// Numbers packs in the order of their first use.
fn renumber(locations: &mut [Option<BatchLocation>], packs: &[PackRef]) -> Vec<PackRef> {
    let mut numbers = vec![None; packs.len()];
    let mut ordered = Vec::with_capacity(packs.len());
    for location in locations.iter_mut().flatten() {
        let number = *numbers[location.pack as usize].get_or_insert_with(|| {
            ordered.push(packs[location.pack as usize]);
            ordered.len() as u32 - 1
        });
        location.pack = number;
    }
    ordered
}
