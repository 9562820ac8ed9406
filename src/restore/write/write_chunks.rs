//! Fetching: one ranged read, its segments decoded once, and each chunk verified and written to
//! every place that wants it.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::context::Context;
use super::counts::count_written;
use super::entries::write_whole;
use super::file_job::FileJob;
use super::finish::{piece_damaged, piece_done, piece_failed};
use crate::container::Segment;
use crate::format::container::ChunkKind;
use crate::format::run::PackRef;
use crate::monitor::{ProblemKind, in_words};
use crate::repo::{Error, Location, PaddedPart};
use crate::restore::options::add;
use crate::restore::plan::read_plan::{Placement, Plan, PlannedRead, PlannedSegment};

/// A planned batch with what its numbers stand for.
pub struct Batch {
    /// The plan.
    pub plan: Plan,
    /// Its files.
    pub files: Vec<Arc<FileJob>>,
    /// Its packs.
    pub packs: Vec<PackRef>,
}

/// Memory that one worker uses again and again.
#[derive(Default)]
pub struct Buffers {
    stored: PaddedPart,
    raw: Vec<u8>,
    /// For comparing.
    pub bytes: Vec<u8>,
}

/// Does one read of a batch and all that follows from it.
pub fn place(context: &Context, batch: &Batch, read: &PlannedRead, buffers: &mut Buffers) {
    let reader = context.trees.reader();
    let pack = &batch.packs[read.pack as usize];
    let segments = &batch.plan.segments[read.segments.clone()];
    match fetch(context, pack, read.offset, read.len, &mut buffers.stored) {
        Ok(()) => {
            for segment in segments {
                let start = (segment.offset - read.offset) as usize;
                let stored = &mut buffers.stored[start..start + segment.stored_len as usize];
                let raw = std::mem::take(&mut buffers.raw);
                buffers.raw = place_segment(
                    context,
                    batch,
                    segment,
                    reader.open_segment(pack, segment.offset, stored, raw),
                );
            }
        }
        Err(error) if segments.len() > 1 && error.is_damage() => {
            // Part of the range may be there: each segment on its own says which.
            for (position, segment) in segments.iter().enumerate() {
                let at = read.segments.start + position;
                let alone = PlannedRead {
                    offset: segment.offset,
                    len: segment.stored_len,
                    segments: at..at + 1,
                    ..*read
                };
                place(context, batch, &alone, buffers);
            }
        }
        Err(error) if error.is_not_found() => place_elsewhere(context, batch, segments),
        Err(error) => fail_segments(context, batch, segments, error),
    }
}

/// Places chunks whose pack is not there: a collector may have moved each to another place.
fn place_elsewhere(context: &Context, batch: &Batch, segments: &[PlannedSegment]) {
    let reader = context.trees.reader();
    for placement in
        segments.iter().flat_map(|segment| &batch.plan.placements[segment.placements.clone()])
    {
        if context.is_stopped() {
            return;
        }
        let Placement { spot, piece } = placement;
        let pack = batch.packs[spot.pack as usize];
        let location =
            Location { pack, offset: spot.offset, stored_len: spot.stored_len, chunk: spot.chunk };
        match reader.with_chunk(&location, ChunkKind::Data, &piece.id, <[u8]>::to_vec) {
            Ok(bytes) if bytes.len() == piece.len as usize => {
                write(context, batch, placement, &bytes)
            }
            Ok(_) => fail_piece(context, batch, placement, &Error::WrongChunk { id: piece.id }),
            Err(error) if error.is_damage() => fail_piece(context, batch, placement, &error),
            Err(error) => return context.stop(error.into()),
        }
    }
}

/// Reports every file that wanted something of these segments; stops if it is the repository itself
/// that failed.
fn fail_segments(context: &Context, batch: &Batch, segments: &[PlannedSegment], error: Error) {
    if !error.is_damage() {
        return context.stop(error.into());
    }
    for placement in
        segments.iter().flat_map(|segment| &batch.plan.placements[segment.placements.clone()])
    {
        place_from_another(context, batch, placement, &error);
    }
}

/// Places a piece that is not, or not as it should be, where the index led to; its file fails if no
/// other place has it.
fn place_from_another(context: &Context, batch: &Batch, placement: &Placement, error: &Error) {
    let Placement { spot, piece } = placement;
    let pack = batch.packs[spot.pack as usize];
    let location =
        Location { pack, offset: spot.offset, stored_len: spot.stored_len, chunk: spot.chunk };
    match context.trees.reader().read_elsewhere(&location, ChunkKind::Data, &piece.id) {
        Ok(Some(bytes)) if bytes.len() == piece.len as usize => {
            let says = format!(
                "read from another place of the repository, because of damage at the first: {}",
                in_words(error)
            );
            context.monitor.problem(
                ProblemKind::Notice,
                &batch.files[piece.file as usize].path(),
                says,
            );
            write(context, batch, placement, &bytes);
        }
        Ok(_) => fail_piece(context, batch, placement, error),
        Err(error) if error.is_damage() => fail_piece(context, batch, placement, &error),
        Err(error) => context.stop(error.into()),
    }
}

fn fail_piece(context: &Context, batch: &Batch, placement: &Placement, error: &Error) {
    let job = &batch.files[placement.piece.file as usize];
    piece_damaged(context, job, error);
    piece_done(context, job);
}

fn fetch(
    context: &Context,
    pack: &PackRef,
    offset: u32,
    len: u32,
    stored: &mut PaddedPart,
) -> Result<(), Error> {
    context.trees.reader().read_range(pack, offset, len as usize, stored)?;
    add(&context.counts.bytes_fetched, len.into());
    add(&context.monitor.bytes_stored, len.into());
    Ok(())
}

/// Places the chunks of one segment; returns its memory.
fn place_segment(
    context: &Context,
    batch: &Batch,
    planned: &PlannedSegment,
    opened: Result<Segment, Error>,
) -> Vec<u8> {
    let placements = &batch.plan.placements[planned.placements.clone()];
    let segment = match opened {
        Ok(segment) => segment,
        Err(error) => {
            fail_segments(context, batch, std::slice::from_ref(planned), error);
            return Vec::new();
        }
    };
    for same_chunk in
        placements.chunk_by(|a, b| (a.spot.chunk, a.piece.id) == (b.spot.chunk, b.piece.id))
    {
        if context.is_stopped() {
            break;
        }
        place_chunk(context, batch, &segment, same_chunk);
    }
    segment.into_buffer()
}

/// Verifies one chunk and writes it to every place that wants it.
fn place_chunk(context: &Context, batch: &Batch, segment: &Segment, placements: &[Placement]) {
    let Placement { spot, piece } = placements[0];
    let pack = batch.packs[spot.pack as usize];
    let location =
        Location { pack, offset: spot.offset, stored_len: spot.stored_len, chunk: spot.chunk };
    let checked = context.trees.reader().chunk_of(segment, &location, ChunkKind::Data, &piece.id);
    for placement in placements {
        match &checked {
            Ok(bytes) if bytes.len() == placement.piece.len as usize => {
                write(context, batch, placement, bytes)
            }
            Ok(_) => fail_piece(context, batch, placement, &Error::WrongChunk { id: piece.id }),
            Err(error) => place_from_another(context, batch, placement, error),
        }
    }
}

fn write(context: &Context, batch: &Batch, placement: &Placement, bytes: &[u8]) {
    let job = &batch.files[placement.piece.file as usize];
    if job.is_whole_at_once() {
        if !job.has_failed() {
            write_whole(context, job, bytes);
        }
        return;
    }
    if !job.is_unwritable() {
        job.note_overwrite();
        match job
            .file(&context.host)
            .and_then(|file| file.write_all_at(bytes, placement.piece.offset))
        {
            Ok(()) => {
                job.count_placed(bytes.len() as u64);
                count_written(context, bytes.len());
            }
            Err(error) => piece_failed(context, job, error),
        }
    }
    piece_done(context, job);
}
