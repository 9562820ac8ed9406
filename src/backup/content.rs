//! Reading the content of one file: small ones with one read, large ones as a stream; what is zero
//! becomes holes.
//!
//! **Holes.** A file that takes less room than its length has holes. Where they are is asked of
//! file systems that are known to tell the truth (`os::filesystem`); an answer that cannot be true,
//! and every other file system, leads to reading: long runs of zero blocks are holes then. Either
//! way no byte is taken for zero because a file system says so, which may be wrong.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use rustix::fs::{Advice, fadvise};

use super::chunk_stream::StreamError;
use super::context::Context;
use super::worker::Worker;
use crate::copying::{SLOW_START_MAX_BYTES, slow_start};
use crate::format::entry::{Content, Ref};
use crate::format::limits::INLINE_LEN_MAX_BYTES;
use crate::os::filesystem;
use crate::os::holes::{self, BLOCK_LEN_BYTES, next_data, next_zeros};
use crate::os::lease::{READ_WAIT_MAX, retry};
use crate::os::stat::Stat;
use crate::repo::write::list_builder::ListBuilder;

/// Files up to this many bytes are read at once, and again if they changed meanwhile.
pub const SMALL_LEN_MAX_BYTES: u64 = 1 << 20;
/// Holes shorter than this are stored as zeros: skipping them would cut chunks for nothing.
const HOLE_LEN_MIN_BYTES: usize = 64 << 10;
/// The same for files that are read at once.
const SMALL_HOLE_LEN_MIN_BYTES: usize = 16 << 10;
/// How much is looked at together when holes are found by reading; a multiple of a block.
const WINDOW_LEN_BYTES: usize = 512 << 10;

type StreamResult<T> = std::result::Result<T, StreamError>;

/// Returns a file's content and the bytes that it really has.
pub fn read_content(
    context: &Context,
    worker: &mut Worker,
    file: &File,
    stat: &Stat,
) -> StreamResult<(Content, u64)> {
    if stat.size <= SMALL_LEN_MAX_BYTES {
        return read_small(context, worker, file, stat);
    }
    // A hint that may be refused; nothing depends on it.
    let _ = fadvise(file, 0, None, Advice::Sequential);
    let mut list = ListBuilder::default();
    let mut reader = FileReader { context, file, position: 0 };
    if !is_sparse(stat) {
        worker
            .stream
            .put_all(&mut worker.lane, &mut list, |buffer| reader.read_until(u64::MAX, buffer))?;
    } else {
        let stored = stat.blocks.saturating_mul(512);
        let is_stopped = || context.monitor.is_cancelled();
        let is_told = filesystem::is_trusted(file)
            && holes::are_plausible(file, stat.size, stored, is_stopped);
        if !is_told || reader.put_extents(worker, &mut list, stat.size)? == Extents::Doubtful {
            reader.put_looking_for_holes(worker, &mut list)?;
        }
    }
    let size = list.len_bytes();
    Ok((list.finish(&mut worker.lane)?, size))
}

/// Returns whether a file takes less room than its length: it has holes, or is compressed.
fn is_sparse(stat: &Stat) -> bool {
    stat.blocks.saturating_mul(512) < stat.size
}

fn read_small(
    context: &Context,
    worker: &mut Worker,
    file: &File,
    stat: &Stat,
) -> StreamResult<(Content, u64)> {
    let Worker { lane, stream, buffer, .. } = worker;
    let wanted = stat.size as usize;
    // One byte more than expected: a full answer that is shorter than asked for is the end of the
    // file.
    buffer.resize(buffer.len().max(wanted + 1 + SLOW_START_MAX_BYTES), 0);
    let start = slow_start(buffer.as_ptr());
    let buffer = &mut buffer[start..];
    let mut filled = 0;
    while filled <= wanted {
        match read_some(context, file, &mut buffer[filled..=wanted]).map_err(StreamError::Read)? {
            0 => break,
            len => filled += len,
        }
        // A file that should be empty is asked once more: those of the kernel have content, and no
        // length.
        if filled == wanted && wanted > 0 {
            break;
        }
    }
    let mut list = ListBuilder::default();
    if filled > wanted {
        // Longer than the file system says: read to the end, whatever comes.
        let mut first = &buffer[..filled];
        stream.put_all(lane, &mut list, |room| match first.read(room)? {
            0 => read_some(context, file, room),
            len => Ok(len),
        })?;
        let size = list.len_bytes();
        return Ok((list.finish(lane)?, size));
    }
    context.monitor.bytes_done.fetch_add(filled as u64, Ordering::Relaxed);
    let bytes = &buffer[..filled];
    if filled <= INLINE_LEN_MAX_BYTES {
        return Ok((Content::Inline(bytes.to_vec()), filled as u64));
    }
    let mut at = 0;
    while is_sparse(stat) && at < filled {
        let Some(zeros) = next_zeros(bytes, at, SMALL_HOLE_LEN_MIN_BYTES) else {
            break;
        };
        if zeros.len() < SMALL_HOLE_LEN_MIN_BYTES {
            break;
        }
        stream.put_slice(lane, &mut list, &bytes[at..zeros.start])?;
        list.push(lane, Ref::Hole { len: zeros.len() as u64 })?;
        at = zeros.end;
    }
    stream.put_slice(lane, &mut list, &bytes[at..])?;
    Ok((list.finish(lane)?, filled as u64))
}

/// Reads what there is at a file's own position; 0 at its end.
fn read_some(context: &Context, mut file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    if context.monitor.is_cancelled() {
        return Err(io::Error::other("interrupted"));
    }
    retry(READ_WAIT_MAX, || context.monitor.is_cancelled(), || file.read(buffer))
}

/// What asking for holes came to.
#[derive(PartialEq, Eq)]
enum Extents {
    /// All is read.
    Read,
    /// From the reader's position on the answers cannot be true.
    Doubtful,
}

/// Reads a large file from its beginning to its end.
struct FileReader<'a> {
    context: &'a Context<'a>,
    file: &'a File,
    position: u64,
}

impl FileReader<'_> {
    fn read_until(&mut self, end: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let is_stopped = || self.context.monitor.is_cancelled();
        if is_stopped() {
            return Err(io::Error::other("interrupted"));
        }
        let wanted = buffer.len().min(usize::try_from(end - self.position).unwrap_or(usize::MAX));
        let len = retry(READ_WAIT_MAX, is_stopped, || {
            self.file.read_at(&mut buffer[..wanted], self.position)
        })?;
        self.count(len as u64);
        Ok(len)
    }

    fn count(&mut self, len: u64) {
        self.position += len;
        self.context.monitor.bytes_done.fetch_add(len, Ordering::Relaxed);
    }

    fn put_hole(
        &mut self,
        worker: &mut Worker,
        list: &mut ListBuilder,
        len: u64,
    ) -> StreamResult<()> {
        Ok(list.push(&mut worker.lane, Ref::Hole { len })?)
    }

    /// Puts data and the holes between as the file system tells them, up to `size`, the length of
    /// the file at the beginning.
    fn put_extents(
        &mut self,
        worker: &mut Worker,
        list: &mut ListBuilder,
        size: u64,
    ) -> StreamResult<Extents> {
        while self.position < size {
            if self.context.monitor.is_cancelled() {
                return Err(StreamError::Read(io::Error::other("interrupted")));
            }
            let Ok((start, end)) = self.next_extent(size) else {
                return Ok(Extents::Doubtful);
            };
            if start > self.position {
                let hole = start - self.position;
                self.put_hole(worker, list, hole)?;
                self.count(hole);
            }
            if end > start {
                let read = worker
                    .stream
                    .put_all(&mut worker.lane, list, |buffer| self.read_until(end, buffer))?;
                if read < end - start {
                    // The file shrank; the caller sees it by its size.
                    return Ok(Extents::Read);
                }
            }
        }
        Ok(Extents::Read)
    }

    /// Returns start and end of the next data; short holes inside it are taken along.
    fn next_extent(&self, size: u64) -> Result<(u64, u64), holes::UnreliableHoles> {
        let Some(first) = next_data(self.file, self.position, size)? else {
            return Ok((size, size));
        };
        let is_short = |from: u64, to: u64| to - from < HOLE_LEN_MIN_BYTES as u64;
        let start = if is_short(self.position, first.start) { self.position } else { first.start };
        let mut end = first.end;
        while end < size {
            match next_data(self.file, end, size)? {
                Some(next) if is_short(end, next.start) => end = next.end,
                _ => break,
            }
        }
        Ok((start, end))
    }

    /// Puts the rest of the file; long runs of zero blocks become holes.
    fn put_looking_for_holes(
        &mut self,
        worker: &mut Worker,
        list: &mut ListBuilder,
    ) -> StreamResult<()> {
        let mut window = Window::default();
        loop {
            let zeros = window
                .skip_zeros(|buffer| self.read_until(u64::MAX, buffer))
                .map_err(StreamError::Read)?;
            if zeros > 0 {
                self.put_hole(worker, list, zeros)?;
            }
            let read = |buffer: &mut [u8]| {
                window.read_data(buffer, |buffer| self.read_until(u64::MAX, buffer))
            };
            if worker.stream.put_all(&mut worker.lane, list, read)? == 0 && window.is_at_end {
                return Ok(());
            }
        }
    }
}

/// A piece of a file in which runs of zeros are looked for; begins at a block.
#[derive(Default)]
struct Window {
    bytes: Vec<u8>,
    /// What was taken already.
    taken: usize,
    /// Whether the file ends where the window does.
    is_at_end: bool,
}

impl Window {
    /// Reads on until the window is full or the file at its end.
    fn fill(&mut self, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<()> {
        let whole = self.taken - self.taken % BLOCK_LEN_BYTES;
        self.bytes.drain(..whole);
        self.taken -= whole;
        let mut filled = self.bytes.len();
        self.bytes.resize(WINDOW_LEN_BYTES, 0);
        while filled < WINDOW_LEN_BYTES && !self.is_at_end {
            match read(&mut self.bytes[filled..])? {
                0 => self.is_at_end = true,
                len => filled += len,
            }
        }
        self.bytes.truncate(filled);
        Ok(())
    }

    /// Passes over a long run of zeros right here, however long it is; returns its length, 0 if
    /// there is none.
    fn skip_zeros(
        &mut self,
        mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<u64> {
        let mut passed = 0;
        loop {
            if self.bytes.len() - self.taken < HOLE_LEN_MIN_BYTES {
                self.fill(&mut read)?;
            }
            // A run that began before is as long as it was, whatever is left of it here.
            let len_min = if passed > 0 { BLOCK_LEN_BYTES } else { HOLE_LEN_MIN_BYTES };
            match next_zeros(&self.bytes, self.taken, len_min) {
                Some(zeros)
                    if zeros.start == self.taken && (zeros.len() >= len_min || passed > 0) =>
                {
                    passed += zeros.len() as u64;
                    self.taken = zeros.end;
                    if zeros.end < self.bytes.len() || self.is_at_end {
                        return Ok(passed);
                    }
                }
                _ => return Ok(passed),
            }
        }
    }

    /// Takes bytes up to the next long run of zeros; 0 at its beginning, and at the end of the
    /// file.
    fn read_data(
        &mut self,
        buffer: &mut [u8],
        read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut end = self.end_of_data();
        if end == self.taken
            && !self.is_at_end
            && self.bytes.len() - self.taken < HOLE_LEN_MIN_BYTES
        {
            self.fill(read)?;
            end = self.end_of_data();
        }
        let len = buffer.len().min(end - self.taken);
        buffer[..len].copy_from_slice(&self.bytes[self.taken..][..len]);
        self.taken += len;
        Ok(len)
    }

    /// Returns how far it is certain that no long run of zeros begins.
    fn end_of_data(&self) -> usize {
        match next_zeros(&self.bytes, self.taken, HOLE_LEN_MIN_BYTES) {
            // A short run at the end of the window may go on behind it, but not behind the end of
            // the file.
            Some(zeros) if zeros.len() >= HOLE_LEN_MIN_BYTES || !self.is_at_end => zeros.start,
            _ => self.bytes.len(),
        }
    }
}
