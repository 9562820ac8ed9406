//! Content of one file: small files in one read, large ones as a stream, with holes.
//!
//! **Holes.** A file that takes less room than its length has holes. File systems that are known to
//! report them truly (`os::filesystem`) are asked where they are. On any other file system, and if
//! an answer cannot be true, the file is read, and long runs of zero blocks become holes.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use rustix::fs::{Advice, fadvise};

use super::chunk_stream::ChunkStreamError;
use super::target_writer::TargetWriter;
use super::worker::Worker;
use crate::alignment::{PADDING_MAX_BYTES, padding};
use crate::format::entry::Content;
use crate::format::limits::INLINE_LEN_MAX_BYTES;
use crate::monitor::Monitor;
use crate::os::filesystem;
use crate::os::holes::{self, BLOCK_LEN_BYTES, next_data, next_zeros};
use crate::os::lease::{READ_WAIT_MAX, retry};
use crate::os::stat::Stat;
use crate::repo::write::list_builder::ListBuilder;

/// Longest file that is read at once, and once more if it changed in the meantime.
pub(super) const SMALL_LEN_MAX_BYTES: u64 = 1 << 20;
/// Holes shorter than this are stored as zeros: each hole ends a chunk.
const HOLE_LEN_MIN_BYTES: usize = 64 << 10;
/// Holes shorter than this are stored as zeros in files that are read at once.
const SMALL_HOLE_LEN_MIN_BYTES: usize = 16 << 10;
/// Length of the window in which holes are searched; a multiple of a block.
const WINDOW_LEN_BYTES: usize = 512 << 10;

type StreamResult<T> = std::result::Result<T, ChunkStreamError>;

/// Returns a file's content and the number of bytes that were read.
pub(super) fn read_content(
    monitor: &Monitor,
    worker: &mut Worker,
    file: &File,
    stat: &Stat,
) -> StreamResult<(Content, u64)> {
    if stat.size <= SMALL_LEN_MAX_BYTES {
        return read_small(monitor, worker, file, stat);
    }
    // Only a hint: nothing depends on it.
    let _ = fadvise(file, 0, None, Advice::Sequential);
    let mut list = ListBuilder::default();
    let mut reader = FileReader { monitor, file, position: 0 };
    if !is_sparse(stat) {
        worker.writer.put_all(&mut list, |buffer| reader.read_until(u64::MAX, buffer))?;
    } else {
        let stored = stat.blocks.saturating_mul(512);
        let is_stopped = || monitor.is_cancelled();
        let is_told = filesystem::is_trusted(file)
            && holes::are_plausible(file, stat.size, stored, is_stopped);
        if !is_told
            || reader.put_extents(&mut worker.writer, &mut list, stat.size)?
                == ExtentReading::Doubtful
        {
            reader.put_looking_for_holes(&mut worker.writer, &mut list)?;
        }
    }
    let size = list.len_bytes();
    Ok((list.finish(&mut worker.writer.lane)?, size))
}

/// Returns whether a file takes less room than its length: it has holes, or is compressed.
fn is_sparse(stat: &Stat) -> bool {
    stat.blocks.saturating_mul(512) < stat.size
}

fn read_small(
    monitor: &Monitor,
    worker: &mut Worker,
    file: &File,
    stat: &Stat,
) -> StreamResult<(Content, u64)> {
    let Worker { writer, buffer, .. } = worker;
    let wanted = stat.size as usize;
    // One byte more than expected, so that a short read shows the end of the file.
    buffer.resize(buffer.len().max(wanted + 1 + PADDING_MAX_BYTES), 0);
    let start = padding(buffer.as_ptr());
    let buffer = &mut buffer[start..];
    let mut filled = 0;
    while filled <= wanted {
        match read_some(monitor, file, &mut buffer[filled..=wanted])
            .map_err(ChunkStreamError::Read)?
        {
            0 => break,
            len => filled += len,
        }
        // A file of length 0 is read once more: files of the kernel have content, but no length.
        if filled == wanted && wanted > 0 {
            break;
        }
    }
    let mut list = ListBuilder::default();
    if filled > wanted {
        // Longer than the file system says: read to the end.
        let mut first = &buffer[..filled];
        writer.put_all(&mut list, |room| match first.read(room)? {
            0 => read_some(monitor, file, room),
            len => Ok(len),
        })?;
        let size = list.len_bytes();
        return Ok((list.finish(&mut writer.lane)?, size));
    }
    monitor.bytes_done.fetch_add(filled as u64, Ordering::Relaxed);
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
        writer.put_slice(&mut list, &bytes[at..zeros.start])?;
        writer.put_hole(&mut list, zeros.len() as u64)?;
        at = zeros.end;
    }
    writer.put_slice(&mut list, &bytes[at..])?;
    Ok((list.finish(&mut writer.lane)?, filled as u64))
}

/// Reads from a file's own position; returns 0 at its end.
fn read_some(monitor: &Monitor, mut file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    if monitor.is_cancelled() {
        return Err(io::Error::other("interrupted"));
    }
    retry(READ_WAIT_MAX, || monitor.is_cancelled(), || file.read(buffer))
}

/// Result of reading by the file system's extents.
#[derive(PartialEq, Eq)]
enum ExtentReading {
    /// The whole file is read.
    Read,
    /// From the reader's position on, the answers cannot be true.
    Doubtful,
}

/// Reads a large file from its beginning to its end.
struct FileReader<'a> {
    monitor: &'a Monitor,
    file: &'a File,
    position: u64,
}

impl FileReader<'_> {
    fn read_until(&mut self, end: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let is_stopped = || self.monitor.is_cancelled();
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
        self.monitor.bytes_done.fetch_add(len, Ordering::Relaxed);
    }

    /// Stores data and holes as the file system reports them, up to `size`, the length of the file
    /// when it was opened.
    fn put_extents(
        &mut self,
        writer: &mut TargetWriter,
        list: &mut ListBuilder,
        size: u64,
    ) -> StreamResult<ExtentReading> {
        while self.position < size {
            if self.monitor.is_cancelled() {
                return Err(ChunkStreamError::Read(io::Error::other("interrupted")));
            }
            let Ok((start, end)) = self.next_extent(size) else {
                return Ok(ExtentReading::Doubtful);
            };
            if start > self.position {
                let hole = start - self.position;
                writer.put_hole(list, hole)?;
                self.count(hole);
            }
            if end > start {
                let read = writer.put_all(list, |buffer| self.read_until(end, buffer))?;
                if read < end - start {
                    // The file shrank; the caller notices that by the size.
                    return Ok(ExtentReading::Read);
                }
            }
        }
        Ok(ExtentReading::Read)
    }

    /// Returns start and end of the next data, which may include short holes.
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

    /// Stores the rest of the file; long runs of zero blocks become holes.
    fn put_looking_for_holes(
        &mut self,
        writer: &mut TargetWriter,
        list: &mut ListBuilder,
    ) -> StreamResult<()> {
        let mut window = HoleWindow::default();
        loop {
            let zeros = window
                .skip_zeros(|buffer| self.read_until(u64::MAX, buffer))
                .map_err(ChunkStreamError::Read)?;
            if zeros > 0 {
                writer.put_hole(list, zeros)?;
            }
            let read = |buffer: &mut [u8]| {
                window.read_data(buffer, |buffer| self.read_until(u64::MAX, buffer))
            };
            if writer.put_all(list, read)? == 0 && window.is_at_end {
                return Ok(());
            }
        }
    }
}

/// Part of a file in which runs of zeros are searched; begins at a block.
#[derive(Default)]
struct HoleWindow {
    bytes: Vec<u8>,
    /// Bytes that were returned already.
    taken: usize,
    /// Whether the file ends where the window does.
    is_at_end: bool,
}

impl HoleWindow {
    /// Reads until the window is full or the file ends.
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

    /// Skips a long run of zeros at this position; returns its length, 0 if there is none.
    fn skip_zeros(
        &mut self,
        mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<u64> {
        let mut passed = 0;
        loop {
            if self.bytes.len() - self.taken < HOLE_LEN_MIN_BYTES {
                self.fill(&mut read)?;
            }
            // A run that began in an earlier window is long enough already.
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

    /// Returns bytes up to the next long run of zeros; 0 at such a run, and at the end of the file.
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

    /// Returns the position up to which no long run of zeros begins.
    fn end_of_data(&self) -> usize {
        match next_zeros(&self.bytes, self.taken, HOLE_LEN_MIN_BYTES) {
            // A short run at the end of the window may continue in the next one, unless the file
            // ends there.
            Some(zeros) if zeros.len() >= HOLE_LEN_MIN_BYTES || !self.is_at_end => zeros.start,
            _ => self.bytes.len(),
        }
    }
}
