//! Comparing pieces of an existing file with the snapshot's chunk ids: only what differs has to be fetched.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

use super::context::Context;
use super::finish::{piece_done, piece_failed};
use super::items::count_kept;
use super::job::FileJob;
use super::recheck::is_zero;
use crate::format::container::ChunkKind;
use crate::format::entry::{Content, Ref};
use crate::format::limits;
use crate::id::ChunkId;
use crate::os::filesystem::is_trusted;

/// Neighbouring pieces of one file that one worker compares.
pub struct Comparison {
    /// The file, which has been opened.
    pub job: Arc<FileJob>,
    /// The pieces with their offsets in bytes, ascending.
    pub pieces: Vec<(u64, Ref)>,
}

/// A piece of a file that must be fetched.
pub struct Need {
    /// The file.
    pub job: Arc<FileJob>,
    /// The chunk.
    pub id: ChunkId,
    /// Its length in bytes.
    pub len: u32,
    /// Where it goes, in bytes.
    pub offset: u64,
}

/// Compares pieces, makes holes where they should be, and adds what must be fetched to `missing`.
pub fn compare(context: &Context, comparison: &Comparison, buffer: &mut Vec<u8>, missing: &mut Vec<Need>) {
    let job = &comparison.job;
    let file = match job.file(&context.host) {
        Ok(file) => file,
        Err(error) => {
            piece_failed(context, job, error);
            return comparison.pieces.iter().for_each(|_| piece_done(context, job));
        }
    };
    let mut extents = Extents::default();
    for (offset, piece) in &comparison.pieces {
        if context.is_stopped() {
            return;
        }
        match *piece {
            Ref::Data { id, len } => {
                if is_chunk(context, &file, &mut extents, (*offset, len, &id), buffer) {
                    job.count_placed(len.into());
                    count_kept(context, len.into());
                    piece_done(context, job);
                } else {
                    job.note_change();
                    missing.push(Need { job: job.clone(), id, len, offset: *offset });
                }
            }
            Ref::Hole { len } => {
                match make_hole(&file, *offset, len) {
                    Ok(false) => {}
                    Ok(true) => job.note_change(),
                    Err(error) => piece_failed(context, job, error),
                }
                job.count_placed(len);
                count_kept(context, len);
                piece_done(context, job);
            }
        }
    }
}

/// Returns whether the bytes at `offset` are those of the chunk; holes differ from any chunk without being read.
pub fn is_chunk(
    context: &Context,
    file: &File,
    extents: &mut Extents,
    (offset, len, id): (u64, u32, &ChunkId),
    buffer: &mut Vec<u8>,
) -> bool {
    if len as usize > limits::SEGMENT_RAW_LEN_MAX_BYTES || extents.is_hole_at(file, offset) {
        return false;
    }
    buffer.resize(len as usize, 0);
    let keyring = context.trees.reader().repository().keyring();
    file.read_exact_at(buffer, offset).is_ok() && keyring.chunk_id(ChunkKind::Data, buffer) == *id
}

/// Returns whether a file, which has the right length, holds exactly this content; false if that cannot be told.
pub fn holds(context: &Context, file: &File, (size, content): (u64, &Content), buffer: &mut Vec<u8>) -> bool {
    if let Content::Inline(bytes) = content {
        buffer.resize(bytes.len(), 0);
        return file.read_exact_at(buffer, 0).is_ok() && buffer == bytes;
    }
    let (mut extents, mut offset) = (Extents::default(), 0_u64);
    for piece in context.trees.refs(content) {
        let Ok(piece) = piece else { return false };
        let is_right = match piece {
            Ref::Data { id, len } => is_chunk(context, file, &mut extents, (offset, len, &id), buffer),
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

/// Which parts of a file hold data, as far as was asked; only file systems that are known to tell truly are asked.
#[derive(Default)]
pub struct Extents {
    is_told: Option<bool>,
    data_start: u64,
    data_end: u64,
}

impl Extents {
    /// Returns whether there is a hole at `offset`; false where the file system does not tell.
    pub fn is_hole_at(&mut self, file: &File, offset: u64) -> bool {
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

    /// Returns where the data behind the hole that was just found begins, `None` if the file ends with it.
    pub fn next_data(&self) -> Option<u64> {
        (self.data_start != u64::MAX).then_some(self.data_start)
    }
}

/// Zeros written at once where the file system cannot make holes, in bytes.
const ZEROS_LEN_BYTES: usize = 256 << 10;

/// Makes `len` bytes at `offset` a hole; returns whether there was anything else.
fn make_hole(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    let end = offset + len;
    let mut at = offset;
    let mut changed = false;
    if !is_trusted(file) {
        return clear_data(file, offset, end);
    }
    while at < end {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) if start < end => start,
            Ok(_) | Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let stop = seek(file, SeekFrom::Hole(start)).unwrap_or(end).clamp(start + 1, end);
        match fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, start, stop - start) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => write_zeros(file, start, stop)?,
            Err(error) => return Err(error.into()),
        }
        changed = true;
        at = stop;
    }
    Ok(changed)
}

/// Writes zeros where there is anything else, on a file system that may not tell where there is; returns whether there was.
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
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, vec![7; 1 << 20]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        assert!(make_hole(&file, 100, 500_000).unwrap());
        let mut expected = vec![7; 1 << 20];
        expected[100..500_100].fill(0);
        assert_eq!(std::fs::read(&path).unwrap(), expected);
        let mut extents = Extents::default();
        if is_trusted(&file) {
            assert!(!extents.is_hole_at(&file, 0) && extents.is_hole_at(&file, 65_536) && !extents.is_hole_at(&file, 1 << 19));
        }
        assert!(clear_data(&file, 600_000, 700_000).unwrap() && !clear_data(&file, 600_000, 700_000).unwrap());
        expected[600_000..700_000].fill(0);
        assert_eq!(std::fs::read(&path).unwrap(), expected);
    }
}
