//! Comparison of existing files with the snapshot's chunk ids, so that only differing chunks are
//! fetched.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

use super::context::RestoreContext;
use super::counts::count_kept;
use super::file_job::FileJob;
use super::finish::{piece_done, piece_failed};
use crate::format::container::ChunkKind;
use crate::format::entry::{Content, Ref};
use crate::format::limits;
use crate::os::filesystem::is_trusted;
use crate::os::holes::{self, BLOCK_LEN_BYTES};
use crate::restore::plan::read_plan::FileChunk;

/// Consecutive pieces of one file that one worker compares.
pub(crate) struct Comparison {
    /// The open file.
    pub job: Arc<FileJob>,
    /// The pieces with their offsets in bytes, ascending.
    pub pieces: Vec<(u64, Ref)>,
}

/// A chunk that a file lacks.
pub(crate) struct ChunkToFetch {
    /// The file.
    pub job: Arc<FileJob>,
    /// The chunk, and where it belongs in the file.
    pub chunk: FileChunk,
}

/// Compares pieces, makes holes where they should be, and adds the chunks that differ to
/// `to_fetch`.
pub(crate) fn compare(
    context: &RestoreContext,
    comparison: &Comparison,
    buffer: &mut Vec<u8>,
    to_fetch: &mut Vec<ChunkToFetch>,
) {
    let job = &comparison.job;
    let file = match job.file(&context.host) {
        Ok(file) => file,
        Err(error) => {
            piece_failed(context, job, error);
            return comparison.pieces.iter().for_each(|_| piece_done(context, job));
        }
    };
    let mut extents = DataExtents::default();
    for (offset, piece) in &comparison.pieces {
        if context.is_stopped() {
            return;
        }
        match *piece {
            Ref::Data { id, len } => {
                let chunk = FileChunk { offset: *offset, len, id };
                if is_chunk(context, &file, &mut extents, chunk, buffer) {
                    job.count_placed(len.into());
                    count_kept(context, len.into());
                    piece_done(context, job);
                } else {
                    job.note_change();
                    to_fetch.push(ChunkToFetch { job: job.clone(), chunk });
                }
            }
            Ref::Hole { len } => {
                match make_hole(&file, *offset, len) {
                    Ok(PriorContent::Hole) => {}
                    Ok(PriorContent::Zeros) => job.note_touch(),
                    Ok(PriorContent::Data) => {
                        job.note_overwrite();
                        job.note_change();
                    }
                    Err(error) => {
                        // A part of it may be a hole already.
                        job.note_overwrite();
                        piece_failed(context, job, error);
                    }
                }
                job.count_placed(len);
                count_kept(context, len);
                piece_done(context, job);
            }
        }
    }
}

/// Returns whether a file has a chunk at its place; a hole differs from any chunk and is not read.
pub(crate) fn is_chunk(
    context: &RestoreContext,
    file: &File,
    extents: &mut DataExtents,
    chunk: FileChunk,
    buffer: &mut Vec<u8>,
) -> bool {
    let FileChunk { offset, len, id } = chunk;
    if len as usize > limits::SEGMENT_RAW_LEN_MAX_BYTES || extents.is_hole_at(file, offset) {
        return false;
    }
    buffer.resize(len as usize, 0);
    let ids = context.trees.reader().repository().ids();
    file.read_exact_at(buffer, offset).is_ok() && ids.chunk_id(ChunkKind::Data, buffer) == id
}

/// Returns whether a file of the right length has exactly this content; false if it cannot be
/// compared.
pub(crate) fn has_content(
    context: &RestoreContext,
    file: &File,
    size: u64,
    content: &Content,
    buffer: &mut Vec<u8>,
) -> bool {
    if let Content::Inline(bytes) = content {
        buffer.resize(bytes.len(), 0);
        return file.read_exact_at(buffer, 0).is_ok() && buffer == bytes;
    }
    let (mut extents, mut offset) = (DataExtents::default(), 0_u64);
    for piece in context.trees.refs(content) {
        let Ok(piece) = piece else { return false };
        let is_right = match piece {
            Ref::Data { id, len } => {
                let chunk = FileChunk { offset, len, id };
                is_chunk(context, file, &mut extents, chunk, buffer)
            }
            Ref::Hole { len } => {
                offset.checked_add(len).is_some_and(|end| end <= size)
                    && is_zero(file, &mut extents, offset, len, buffer).unwrap_or(false)
            }
        };
        if !is_right || context.is_stopped() {
            return false;
        }
        offset += piece.len();
    }
    offset == size
}

/// The data extent of a file that was looked up last. Only file systems that are known to report
/// holes correctly are asked.
#[derive(Default)]
pub(crate) struct DataExtents {
    is_told: Option<bool>,
    data_start: u64,
    data_end: u64,
}

impl DataExtents {
    /// Returns whether there is a hole at `offset`; false if the file system is not trusted.
    pub(crate) fn is_hole_at(&mut self, file: &File, offset: u64) -> bool {
        if !*self.is_told.get_or_insert_with(|| is_trusted(file)) {
            return false;
        }
        if !(self.data_start..self.data_end).contains(&offset) {
            match seek(file, SeekFrom::Data(offset)) {
                Ok(start) => {
                    self.data_start = start;
                    self.data_end = seek(file, SeekFrom::Hole(start)).unwrap_or(start);
                }
                Err(Errno::NXIO) => (self.data_start, self.data_end) = (u64::MAX, u64::MAX),
                Err(_) => return false,
            }
        }
        offset < self.data_start
    }

    /// Returns where the data after the last hole begins, `None` if the file ends with the hole.
    pub(crate) fn next_data(&self) -> Option<u64> {
        (self.data_start != u64::MAX).then_some(self.data_start)
    }
}

/// Zeros written at once where the file system cannot make holes, in bytes.
const ZEROS_LEN_BYTES: usize = 256 << 10;

/// Bytes read at once where a hole should be.
const READ_LEN_BYTES: u64 = 256 << 10;

/// Returns whether a part of a file is all zeros.
pub(crate) fn is_zero(
    file: &File,
    extents: &mut DataExtents,
    offset: u64,
    len: u64,
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    let end = offset + len;
    let mut at = offset;
    while at < end {
        if extents.is_hole_at(file, at) {
            match extents.next_data() {
                Some(data) => at = data,
                None => break,
            }
            continue;
        }
        buffer.resize(READ_LEN_BYTES.min(end - at) as usize, 0);
        file.read_exact_at(buffer, at)?;
        if buffer.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += buffer.len() as u64;
    }
    Ok(true)
}

/// Prior content at the place of a new hole, in ascending order of importance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PriorContent {
    /// A hole: nothing was changed.
    Hole,
    /// Allocated zeros: the bytes stay the same.
    Zeros,
    /// Other bytes.
    Data,
}

/// Turns `len` bytes at `offset` into a hole; returns what was there.
///
/// Zeros at its ends that share a block with neighbouring data stay allocated.
fn make_hole(file: &File, offset: u64, len: u64) -> io::Result<PriorContent> {
    let end = offset + len;
    let mut at = offset;
    let mut before = PriorContent::Hole;
    if !is_trusted(file) {
        return Ok(if clear_data(file, offset, end)? {
            PriorContent::Data
        } else {
            PriorContent::Hole
        });
    }
    while at < end {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) if start < end => start,
            Ok(_) | Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let stop = seek(file, SeekFrom::Hole(start)).unwrap_or(end).clamp(start + 1, end);
        at = stop;
        let are_zeros = holds_zeros(file, start, stop)?;
        let takes_block =
            start.next_multiple_of(BLOCK_LEN_BYTES as u64) + BLOCK_LEN_BYTES as u64 <= stop;
        if are_zeros && !takes_block {
            continue;
        }
        match fallocate(
            file,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            start,
            stop - start,
        ) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => write_zeros(file, start, stop)?,
            Err(error) => return Err(error.into()),
        }
        before = before.max(if are_zeros { PriorContent::Zeros } else { PriorContent::Data });
    }
    Ok(before)
}

fn holds_zeros(file: &File, start: u64, end: u64) -> io::Result<bool> {
    let mut buffer = vec![0; ZEROS_LEN_BYTES.min((end - start) as usize)];
    let mut at = start;
    while at < end {
        let part = &mut buffer[..ZEROS_LEN_BYTES.min((end - at) as usize)];
        file.read_exact_at(part, at)?;
        if !holes::is_zero(part) {
            return Ok(false);
        }
        at += part.len() as u64;
    }
    Ok(true)
}

/// Overwrites data with zeros, on a file system whose extents are not trusted; returns whether
/// there was any.
fn clear_data(file: &File, offset: u64, end: u64) -> io::Result<bool> {
    let mut buffer = vec![0; ZEROS_LEN_BYTES];
    let mut changed = false;
    let mut at = offset;
    while at < end {
        let part = &mut buffer[..ZEROS_LEN_BYTES.min((end - at) as usize)];
        file.read_exact_at(part, at)?;
        if part.iter().any(|byte| *byte != 0) {
            write_zeros(file, at, at + part.len() as u64)?;
            changed = true;
        }
        at += part.len() as u64;
    }
    Ok(changed)
}

fn write_zeros(file: &File, start: u64, end: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS_LEN_BYTES];
    let mut at = start;
    while at < end {
        let len = zeros.len().min((end - at) as usize);
        file.write_all_at(&zeros[..len], at)?;
        at += len as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_made_once() {
        let temp = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = temp.path().join("f");
        std::fs::write(&path, vec![7; 1 << 20]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        assert_eq!(make_hole(&file, 100, 500_000).unwrap(), PriorContent::Data);
        let mut expected = vec![7; 1 << 20];
        expected[100..500_100].fill(0);
        assert_eq!(std::fs::read(&path).unwrap(), expected);
        let mut extents = DataExtents::default();
        // The blocks at its ends hold other bytes too, so there is nothing left to be done.
        let stamp = || file.metadata().unwrap().modified().unwrap();
        let before = stamp();
        assert_eq!(
            (make_hole(&file, 100, 500_000).unwrap(), stamp()),
            (PriorContent::Hole, before)
        );
        if is_trusted(&file) {
            file.write_all_at(&[0; 100_000], 200_000).unwrap();
            assert_eq!(make_hole(&file, 100, 500_000).unwrap(), PriorContent::Zeros);
            assert_eq!(make_hole(&file, 100, 500_000).unwrap(), PriorContent::Hole);
            assert!(
                !extents.is_hole_at(&file, 0)
                    && extents.is_hole_at(&file, 65_536)
                    && !extents.is_hole_at(&file, 1 << 19)
            );
        }
        assert!(
            clear_data(&file, 600_000, 700_000).unwrap()
                && !clear_data(&file, 600_000, 700_000).unwrap()
        );
        expected[600_000..700_000].fill(0);
        assert_eq!(std::fs::read(&path).unwrap(), expected);
    }
}
