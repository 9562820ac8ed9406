//! Reading one file: small ones with one read, large ones as a stream, holes skipped, changes noticed.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use rustix::fs::{Advice, SeekFrom, fadvise, seek};

use super::chunk_stream::{ChunkStream, StreamError};
use super::context::{Context, Counts};
use super::describe::{describe, hard_link_group, mark_changed, xattrs_or_problem};
use super::known::Printer;
use super::list_builder::ListBuilder;
use crate::format::entry::{Content, EntryKind, Ref};
use crate::format::limits::INLINE_LEN_MAX_BYTES;
use crate::monitor::ProblemKind;
use crate::os::attributes::{read_xattrs, read_xattrs_of};
use crate::os::dir::{Dir, stat_of};
use crate::os::stat::Stat;
use crate::repo::{DirEntry, Lane, Result};

/// Files up to this many bytes are read at once, and again if they changed meanwhile.
const SMALL_LEN_MAX_BYTES: u64 = 1 << 20;
/// Holes shorter than this are read as zeros: skipping them would cut chunks for nothing.
const HOLE_LEN_MIN_BYTES: u64 = 64 << 10;

/// A thread's means: its lane, its buffers.
pub struct Worker<'s> {
    /// Where chunks go.
    pub lane: Lane<'s>,
    /// Cuts and hashes.
    pub stream: ChunkStream,
    /// Holds small files.
    pub buffer: Vec<u8>,
    /// The thread's number.
    pub index: usize,
    /// Takes fingerprints of folders, once the first is needed.
    pub printer: Option<Printer>,
}

/// Where a file is.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// Its folder.
    pub dir: &'a Dir,
    /// Its name there.
    pub name: &'a [u8],
    /// Its absolute path, for reports.
    pub path: &'a [u8],
}

/// Makes the entry of anything but a folder; `None` after recording why there is none.
pub fn read(context: &Context, worker: &mut Worker, stat: &Stat, place: Place) -> Result<Option<DirEntry>> {
    let content = match stat.kind {
        EntryKind::File => return read_file(context, worker, place),
        EntryKind::Symlink => match place.dir.read_link(place.name) {
            Ok(target) => Content::Inline(target),
            Err(error) => return Ok(report(context, place.path, &error)),
        },
        _ => Content::None,
    };
    let xattrs = xattrs_or_problem(context, place.path, read_xattrs(place.dir, place.name, stat.kind));
    Ok(Some(describe(context, place.name, stat, content, xattrs)))
}

/// Reads a regular file and returns its entry, or `None` after recording why it is not in the snapshot.
///
/// Fails only if the repository does.
pub fn read_file(context: &Context, worker: &mut Worker, place: Place) -> Result<Option<DirEntry>> {
    let file = match place.dir.open_file(place.name) {
        Ok(file) => file,
        Err(error) => return Ok(report(context, place.path, &error)),
    };
    for attempt in 1.. {
        let stat = match stat_of(&file) {
            Ok(stat) if stat.kind == EntryKind::File => stat,
            Ok(_) => {
                context.monitor.problem(ProblemKind::Vanished, place.path, "it was replaced by something that is not a file");
                return Ok(None);
            }
            Err(error) => return Ok(report(context, place.path, &error)),
        };
        let (content, size) = match read_content(context, worker, &file, &stat) {
            Ok(found) => found,
            Err(StreamError::Repository(error)) => return Err(error),
            Err(StreamError::Read(error)) => return Ok(report(context, place.path, &error)),
        };
        let is_torn = match stat_of(&file) {
            Ok(after) => (after.size, after.mtime, after.ctime) != (stat.size, stat.mtime, stat.ctime) || size != stat.size,
            Err(_) => true,
        };
        if is_torn && attempt == 1 && stat.size <= SMALL_LEN_MAX_BYTES && io::Seek::rewind(&mut &file).is_ok() {
            continue;
        }
        let xattrs = xattrs_or_problem(context, place.path, read_xattrs_of(&file));
        let mut entry = describe(context, place.name, &Stat { size, ..stat }, content, xattrs);
        if is_torn {
            mark_changed(&mut entry);
            context.monitor.problem(
                ProblemKind::Changed,
                place.path,
                "it changed while it was read: its content may mix two states",
            );
        }
        return Ok(Some(entry));
    }
    unreachable!("the second attempt returns")
}

/// Records why a file cannot be read.
pub fn report(context: &Context, path: &[u8], error: &io::Error) -> Option<DirEntry> {
    let kind = if error.kind() == io::ErrorKind::NotFound { ProblemKind::Vanished } else { ProblemKind::Unreadable };
    context.monitor.problem(kind, path, error.to_string());
    None
}

/// Returns a file's content and the bytes that it really has.
fn read_content(
    context: &Context,
    worker: &mut Worker,
    file: &File,
    stat: &Stat,
) -> std::result::Result<(Content, u64), StreamError> {
    let group = hard_link_group(context, stat);
    if let Some(known) = group.and_then(|group| context.links.get(group)) {
        return Ok(known);
    }
    let (content, size) = if stat.size <= SMALL_LEN_MAX_BYTES {
        read_small(context, worker, file, stat)?
    } else {
        read_large(context, worker, file, stat)?
    };
    Counts::add(&context.counts.bytes_read, size);
    Ok(match group {
        Some(group) => context.links.keep(group, stat.nlink, content, size),
        None => (content, size),
    })
}

fn read_small(
    context: &Context,
    worker: &mut Worker,
    mut file: &File,
    stat: &Stat,
) -> std::result::Result<(Content, u64), StreamError> {
    let Worker { lane, stream, buffer, .. } = worker;
    let wanted = stat.size as usize;
    // One byte more than expected: a full answer that is shorter than asked for is the end of the file.
    buffer.resize(buffer.len().max(wanted + 1), 0);
    let mut filled = 0;
    while filled <= wanted {
        match file.read(&mut buffer[filled..wanted + 1]) {
            Ok(0) => break,
            Ok(len) => {
                filled += len;
                if filled == wanted {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(StreamError::Read(error)),
        }
    }
    context.monitor.bytes_done.fetch_add(filled as u64, std::sync::atomic::Ordering::Relaxed);
    let bytes = &buffer[..filled];
    if filled <= INLINE_LEN_MAX_BYTES {
        return Ok((Content::Inline(bytes.to_vec()), filled as u64));
    }
    let mut list = ListBuilder::default();
    stream.put_slice(lane, &mut list, bytes)?;
    Ok((list.finish(lane)?, filled as u64))
}

fn read_large(
    context: &Context,
    worker: &mut Worker,
    file: &File,
    stat: &Stat,
) -> std::result::Result<(Content, u64), StreamError> {
    // A hint that may be refused; nothing depends on it.
    let _ = fadvise(file, 0, None, Advice::Sequential);
    let mut list = ListBuilder::default();
    let mut reader = ExtentReader { context, file, position: 0 };
    if stat.blocks * 512 < stat.size {
        reader.put_extents(worker, &mut list, stat.size)?;
    } else {
        worker.stream.put_all(&mut worker.lane, &mut list, |buffer| reader.read_until(u64::MAX, buffer))?;
    }
    let size = list.len_bytes();
    Ok((list.finish(&mut worker.lane)?, size))
}

struct ExtentReader<'a> {
    context: &'a Context<'a>,
    file: &'a File,
    position: u64,
}

impl ExtentReader<'_> {
    fn read_until(&mut self, end: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if self.context.monitor.is_cancelled() {
            return Err(io::Error::other("interrupted"));
        }
        let wanted = buffer.len().min(usize::try_from(end - self.position).unwrap_or(usize::MAX));
        let len = std::os::unix::fs::FileExt::read_at(self.file, &mut buffer[..wanted], self.position)?;
        self.position += len as u64;
        self.context.monitor.bytes_done.fetch_add(len as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(len)
    }

    /// Puts data extents and records the holes between them; the end of the file as it was at the beginning bounds all.
    fn put_extents(&mut self, worker: &mut Worker, list: &mut ListBuilder, size: u64) -> std::result::Result<(), StreamError> {
        while self.position < size {
            let (data, end) = self.next_extent(size);
            if data > self.position {
                let hole = data - self.position;
                list.push(&mut worker.lane, Ref::Hole { len: hole })?;
                self.context.monitor.bytes_done.fetch_add(hole, std::sync::atomic::Ordering::Relaxed);
                self.position = data;
            }
            if end > data {
                let read = worker.stream.put_all(&mut worker.lane, list, |buffer| self.read_until(end, buffer))?;
                if read < end - data {
                    // The file shrank; the caller sees it by its size.
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Returns start and end of the next data; short holes inside it are taken along.
    fn next_extent(&self, size: u64) -> (u64, u64) {
        let find = |from: SeekFrom| seek(self.file.as_fd(), from).ok().map(|at| at.min(size));
        let data = find(SeekFrom::Data(self.position)).unwrap_or(size);
        let start = if data - self.position < HOLE_LEN_MIN_BYTES && data < size { self.position } else { data };
        let mut end = start;
        let mut data = data;
        while data < size {
            end = find(SeekFrom::Hole(data)).unwrap_or(size);
            data = find(SeekFrom::Data(end)).unwrap_or(size);
            if data - end >= HOLE_LEN_MIN_BYTES || data == size {
                break;
            }
        }
        (start, end.max(start))
    }
}
