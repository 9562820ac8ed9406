//! Execution of planned reads: one ranged read, each segment decoded once, each chunk verified and
//! written to all its targets.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::context::RestoreContext;
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
use crate::restore::plan::read_plan::{
    BatchLocation, ChunkTarget, FileChunk, PlannedRead, PlannedSegment, ReadPlan,
};

/// A planned batch, with the files and packs that its numbers refer to.
pub(crate) struct Batch {
    /// The plan.
    pub plan: ReadPlan,
    /// Its files.
    pub files: Vec<Arc<FileJob>>,
    /// Its packs.
    pub packs: Vec<PackRef>,
}

impl Batch {
    /// Returns where in the repository the chunk of a target is.
    fn location_of(&self, target: &ChunkTarget) -> Location {
        let BatchLocation { pack, offset, stored_len, chunk } = target.location;
        Location { pack: self.packs[pack as usize], offset, stored_len, chunk }
    }
}

/// Buffers that one worker reuses.
#[derive(Default)]
pub(crate) struct Buffers {
    stored: PaddedPart,
    raw: Vec<u8>,
    /// For comparing.
    pub bytes: Vec<u8>,
}

/// Executes one read of a batch: writes all its chunks, or reports their files.
pub(crate) fn write_read(
    context: &RestoreContext,
    batch: &Batch,
    read: &PlannedRead,
    buffers: &mut Buffers,
) {
    let reader = context.trees.reader();
    let pack = &batch.packs[read.pack as usize];
    let segments = &batch.plan.segments[read.segments.clone()];
    match fetch(context, pack, read.offset, read.len, &mut buffers.stored) {
        Ok(()) => {
            for segment in segments {
                let start = (segment.offset - read.offset) as usize;
                let stored = &mut buffers.stored[start..start + segment.stored_len as usize];
                let raw = std::mem::take(&mut buffers.raw);
                buffers.raw = write_segment(
                    context,
                    batch,
                    segment,
                    reader.open_segment(pack, segment.offset, stored, raw),
                );
            }
        }
        Err(error) if segments.len() > 1 && error.is_damage() => {
            // A part of the range may be readable: read each segment alone.
            for (position, segment) in segments.iter().enumerate() {
                let at = read.segments.start + position;
                let alone = PlannedRead {
                    offset: segment.offset,
                    len: segment.stored_len,
                    segments: at..at + 1,
                    ..*read
                };
                write_read(context, batch, &alone, buffers);
            }
        }
        Err(error) if error.is_not_found() => write_relocated(context, batch, segments),
        Err(error) => fail_segments(context, batch, segments, error),
    }
}

/// Writes chunks whose pack is missing: a prune may have moved each of them to another pack.
fn write_relocated(context: &RestoreContext, batch: &Batch, segments: &[PlannedSegment]) {
    let reader = context.trees.reader();
    for target in segments.iter().flat_map(|segment| &batch.plan.targets[segment.targets.clone()]) {
        if context.is_stopped() {
            return;
        }
        let chunk = &target.chunk;
        let location = batch.location_of(target);
        match reader.with_chunk(&location, ChunkKind::Data, &chunk.id, <[u8]>::to_vec) {
            Ok(bytes) if bytes.len() == chunk.len as usize => {
                write_target(context, batch, target, &bytes)
            }
            Ok(_) => fail_target(context, batch, target, &Error::WrongChunk { id: chunk.id }),
            Err(error) if error.is_damage() => fail_target(context, batch, target, &error),
            Err(error) => return context.stop(error.into()),
        }
    }
}

/// Handles segments that cannot be read: tries other copies of their chunks, or stops the restore
/// if the error is no damage.
fn fail_segments(
    context: &RestoreContext,
    batch: &Batch,
    segments: &[PlannedSegment],
    error: Error,
) {
    if !error.is_damage() {
        return context.stop(error.into());
    }
    for target in segments.iter().flat_map(|segment| &batch.plan.targets[segment.targets.clone()]) {
        write_from_another_copy(context, batch, target, &error);
    }
}

/// Writes a chunk that is missing or damaged where the index placed it from another copy; fails its
/// file if there is none.
fn write_from_another_copy(
    context: &RestoreContext,
    batch: &Batch,
    target: &ChunkTarget,
    error: &Error,
) {
    let chunk = &target.chunk;
    let location = batch.location_of(target);
    match context.trees.reader().read_elsewhere(&location, ChunkKind::Data, &chunk.id) {
        Ok(Some(bytes)) if bytes.len() == chunk.len as usize => {
            let says = format!(
                "read from another place of the repository, because of damage at the first: {}",
                in_words(error)
            );
            context.monitor.problem(
                ProblemKind::Notice,
                &batch.files[target.file as usize].path(),
                says,
            );
            write_target(context, batch, target, &bytes);
        }
        Ok(_) => fail_target(context, batch, target, error),
        Err(error) if error.is_damage() => fail_target(context, batch, target, &error),
        Err(error) => context.stop(error.into()),
    }
}

fn fail_target(context: &RestoreContext, batch: &Batch, target: &ChunkTarget, error: &Error) {
    let job = &batch.files[target.file as usize];
    piece_damaged(context, job, error);
    piece_done(context, job);
}

fn fetch(
    context: &RestoreContext,
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

/// Writes the chunks of one segment; returns its buffer.
fn write_segment(
    context: &RestoreContext,
    batch: &Batch,
    planned: &PlannedSegment,
    opened: Result<Segment, Error>,
) -> Vec<u8> {
    let targets = &batch.plan.targets[planned.targets.clone()];
    let segment = match opened {
        Ok(segment) => segment,
        Err(error) => {
            fail_segments(context, batch, std::slice::from_ref(planned), error);
            return Vec::new();
        }
    };
    for same_chunk in
        targets.chunk_by(|a, b| (a.location.chunk, a.chunk.id) == (b.location.chunk, b.chunk.id))
    {
        if context.is_stopped() {
            break;
        }
        write_chunk(context, batch, &segment, same_chunk);
    }
    segment.into_buffer()
}

/// Verifies one chunk and writes it to all its targets.
fn write_chunk(
    context: &RestoreContext,
    batch: &Batch,
    segment: &Segment,
    targets: &[ChunkTarget],
) {
    let FileChunk { id, .. } = targets[0].chunk;
    let location = batch.location_of(&targets[0]);
    let checked = context.trees.reader().chunk_of(segment, &location, ChunkKind::Data, &id);
    for target in targets {
        match &checked {
            Ok(bytes) if bytes.len() == target.chunk.len as usize => {
                write_target(context, batch, target, bytes)
            }
            Ok(_) => fail_target(context, batch, target, &Error::WrongChunk { id }),
            Err(error) => write_from_another_copy(context, batch, target, error),
        }
    }
}

fn write_target(context: &RestoreContext, batch: &Batch, target: &ChunkTarget, bytes: &[u8]) {
    let job = &batch.files[target.file as usize];
    if job.is_whole_at_once() {
        if !job.has_failed() {
            write_whole(context, job, bytes);
        }
        return;
    }
    if !job.is_unwritable() {
        job.note_overwrite();
        match job.file(&context.host).and_then(|file| file.write_all_at(bytes, target.chunk.offset))
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
