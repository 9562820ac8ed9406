//! Collecting pieces for a batch, finding where their chunks lie, and handing the plan to the
//! workers.

use std::collections::HashMap;
use std::sync::Arc;

use super::compare::Need;
use super::context::Context;
use super::file_job::FileJob;
use super::finish::{piece_damaged, piece_done};
use super::write_chunks::Batch;
use crate::format::run::PackRef;
use crate::id::ObjectId;
use crate::repo::{Error, Location};
use crate::restore::plan::read_plan::{Piece, Placement, Spot, plan};

/// Pieces of the first batch: few, so that the workers start soon; each batch is four times as
/// large as the one before.
const FIRST_BATCH_PIECES: usize = 8 << 10;
/// Most pieces in a batch, of which two are in memory: a piece takes about 150 bytes while it is
/// planned, and a file 250 more.
const BATCH_PIECES_MAX: usize = 64 << 10;
/// The same for little memory.
const BATCH_PIECES_MAX_LOW: usize = 16 << 10;
/// Longest ranged read in bytes, from a store that answers at once and from others: there a request
/// costs as much as a megabyte.
const READ_LEN_MAX_BYTES: u32 = 4 << 20;
const READ_LEN_MAX_BYTES_DISTANT: u32 = 8 << 20;
/// The same for little memory.
const READ_LEN_MAX_BYTES_LOW: u32 = 1 << 20;

/// A batch that is being collected.
pub struct Gathering {
    files: Vec<Arc<FileJob>>,
    pieces: Vec<Piece>,
    limit: usize,
}

impl Gathering {
    /// Starts with a small batch.
    pub fn new() -> Self {
        Self { files: Vec::new(), pieces: Vec::new(), limit: FIRST_BATCH_PIECES }
    }

    /// Adds a piece, of which its file knows already.
    pub fn push(&mut self, need: Need) {
        if self.files.last().is_none_or(|last| !Arc::ptr_eq(last, &need.job)) {
            self.files.push(need.job);
        }
        let file = u32::try_from(self.files.len() - 1).expect("a batch has few files");
        self.pieces.push(Piece { id: need.id, len: need.len, file, offset: need.offset });
    }

    /// Returns whether the batch should be planned now.
    pub fn is_full(&self) -> bool {
        self.pieces.len() >= self.limit
    }

    /// Plans what was collected; `None` if nothing was, or nothing of it can be found.
    ///
    /// Files with pieces that the index does not know are reported here.
    pub fn take_batch(&mut self, context: &Context) -> Option<Batch> {
        if self.pieces.is_empty() {
            return None;
        }
        let low = context.options.low_memory;
        let max = if low { BATCH_PIECES_MAX_LOW } else { BATCH_PIECES_MAX };
        self.limit = (self.limit * 4).min(max);
        let (files, pieces) = (std::mem::take(&mut self.files), std::mem::take(&mut self.pieces));
        let (spots, packs) = locate_all(context, &pieces)?;
        let mut placements = Vec::with_capacity(pieces.len());
        for (piece, spot) in pieces.into_iter().zip(spots) {
            match spot {
                Some(spot) => placements.push(Placement { spot, piece }),
                None => {
                    let job = &files[piece.file as usize];
                    piece_damaged(context, job, &Error::MissingChunk { id: piece.id });
                    piece_done(context, job);
                }
            }
        }
        let read_len_max_bytes = match context.trees.reader().repository().parallelism() {
            _ if low => READ_LEN_MAX_BYTES_LOW,
            0 | 1 => READ_LEN_MAX_BYTES,
            _ => READ_LEN_MAX_BYTES_DISTANT,
        };
        let plan = plan(placements, read_len_max_bytes);
        (!plan.reads.is_empty()).then_some(Batch { plan, files, packs })
    }
}

/// Finds the places of all pieces; `None` if the index cannot be read, which stops the restore.
///
/// Asked in the order of ids, because the index is sorted by them: each of its blocks is then
/// opened once. Packs are numbered in the order of the pieces, so that files are restored about in
/// the order of the walk.
fn locate_all(context: &Context, pieces: &[Piece]) -> Option<(Vec<Option<Spot>>, Vec<PackRef>)> {
    let mut order: Vec<u32> = (0u32..).take(pieces.len()).collect();
    order.sort_unstable_by(|a, b| pieces[*a as usize].id.cmp(&pieces[*b as usize].id));
    let mut found = Packs::default();
    let mut spots = vec![None; pieces.len()];
    let mut last: Option<(Piece, Option<Spot>)> = None;
    for position in order {
        let piece = pieces[position as usize];
        let known = last.filter(|(before, _)| before.id == piece.id).map(|(_, spot)| spot);
        let spot = match known {
            Some(spot) => spot,
            None => match context.trees.reader().locate(&piece.id) {
                Ok(location) => location.map(|location| found.spot(&location)),
                // A damaged block of the index hides its chunks and no others.
                Err(error) if error.is_damage() => None,
                Err(error) => {
                    context.stop(error.into());
                    return None;
                }
            },
        };
        spots[position as usize] = spot;
        last = Some((piece, spot));
    }
    let packs = renumber(&mut spots, &found.packs);
    Some((spots, packs))
}

#[derive(Default)]
struct Packs {
    numbers: HashMap<ObjectId, u32>,
    packs: Vec<PackRef>,
}

impl Packs {
    fn spot(&mut self, location: &Location) -> Spot {
        let next = self.packs.len() as u32;
        let pack = *self.numbers.entry(location.pack.name).or_insert(next);
        if pack == next {
            self.packs.push(location.pack);
        }
        Spot {
            pack,
            offset: location.offset,
            stored_len: location.stored_len,
            chunk: location.chunk,
        }
    }
}

/// Numbers packs in the order in which the spots name them first.
fn renumber(spots: &mut [Option<Spot>], packs: &[PackRef]) -> Vec<PackRef> {
    let mut numbers = vec![None; packs.len()];
    let mut ordered = Vec::with_capacity(packs.len());
    for spot in spots.iter_mut().flatten() {
        let number = *numbers[spot.pack as usize].get_or_insert_with(|| {
            ordered.push(packs[spot.pack as usize]);
            ordered.len() as u32 - 1
        });
        spot.pack = number;
    }
    ordered
}
