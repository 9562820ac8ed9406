//! Content pipeline: reads bytes, cuts them into chunks, hashes and stores these.

use std::io;
use std::ops::Range;

use rayon::prelude::*;

use crate::alignment::{PADDING_MAX_BYTES, padding};
use crate::chunker::Cutter;
use crate::crypto::id_keys::IdKeys;
use crate::format::container::ChunkKind;
use crate::format::entry::Ref;
use crate::os::holes::is_zero;
use crate::repo::write::list_builder::ListBuilder;
use crate::repo::{Lane, Result as RepoResult};

/// Least room of the read buffer.
const READ_LEN_BYTES: usize = 2 << 20;

/// Buffer and cutter of one lane, reused for every file.
pub(super) struct ChunkStream {
    cutter: Cutter,
    buffer: Vec<u8>,
    /// The bytes of `buffer` that are not cut yet.
    uncut: Range<usize>,
    /// Whether to hash on all cores: worth it if there is only one file to read.
    parallel: bool,
}

/// Why a stream stopped early.
pub(super) enum ChunkStreamError {
    /// The source could not be read.
    Read(io::Error),
    /// The repository failed.
    Repository(crate::repo::Error),
}

impl From<crate::repo::Error> for ChunkStreamError {
    fn from(error: crate::repo::Error) -> Self {
        Self::Repository(error)
    }
}

impl ChunkStream {
    /// Creates a stream that cuts with `cutter`.
    pub(super) fn new(cutter: Cutter, parallel: bool) -> Self {
        Self { cutter, buffer: Vec::new(), uncut: 0..0, parallel }
    }

    /// Stores everything that `read` yields until it returns 0; returns the bytes read.
    ///
    /// Cutting starts anew with each call, so each extent between holes is cut like a file.
    pub(super) fn put_all(
        &mut self,
        lane: &mut Lane,
        list: &mut ListBuilder,
        mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> Result<u64, ChunkStreamError> {
        self.begin();
        let (mut total, mut at_end) = (0, false);
        while !at_end {
            while self.uncut.end < self.buffer.len() && !at_end {
                match read(&mut self.buffer[self.uncut.end..]) {
                    Ok(0) => at_end = true,
                    Ok(len) => {
                        self.uncut.end += len;
                        total += len as u64;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(ChunkStreamError::Read(error)),
                }
            }
            self.put_chunks(lane, list, at_end)?;
        }
        Ok(total)
    }

    /// Makes room, and forgets what was not cut of another file.
    pub(super) fn begin(&mut self) {
        let room = (2 * self.cutter.len_max()).max(READ_LEN_BYTES) + PADDING_MAX_BYTES;
        self.buffer.resize(room.max(self.buffer.len()), 0);
        let start = padding(self.buffer.as_ptr());
        self.uncut = start..start;
    }

    /// Appends to the file that was begun, and stores what is certain of its chunks.
    pub(super) fn push(
        &mut self,
        lane: &mut Lane,
        list: &mut ListBuilder,
        mut bytes: &[u8],
    ) -> RepoResult<()> {
        while !bytes.is_empty() {
            let room = &mut self.buffer[self.uncut.end..];
            let (now, later) = bytes.split_at(room.len().min(bytes.len()));
            room[..now.len()].copy_from_slice(now);
            self.uncut.end += now.len();
            bytes = later;
            if self.uncut.end == self.buffer.len() {
                self.put_chunks(lane, list, false)?;
            }
        }
        Ok(())
    }

    /// Returns what was pushed and not cut yet.
    pub(super) fn uncut(&self) -> &[u8] {
        &self.buffer[self.uncut.clone()]
    }

    /// Stores the last chunks of the file that was begun.
    pub(super) fn end(&mut self, lane: &mut Lane, list: &mut ListBuilder) -> RepoResult<()> {
        self.put_chunks(lane, list, true)
    }

    /// Stores bytes that are in memory already.
    pub(super) fn put_slice(
        &mut self,
        lane: &mut Lane,
        list: &mut ListBuilder,
        bytes: &[u8],
    ) -> RepoResult<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(self.cutter.cut(rest));
            put_chunk(lane, list, chunk)?;
            rest = after;
        }
        Ok(())
    }

    /// Stores the bytes of the buffer as far as cut points are certain, and moves the rest to its
    /// start.
    fn put_chunks(
        &mut self,
        lane: &mut Lane,
        list: &mut ListBuilder,
        at_end: bool,
    ) -> RepoResult<()> {
        let Range { start, end } = self.uncut;
        let (mut used, mut chunks) = (start, Vec::new());
        while used < end && (at_end || end - used >= self.cutter.len_max()) {
            let len = self.cutter.cut(&self.buffer[used..end]);
            chunks.push(&self.buffer[used..used + len]);
            used += len;
        }
        if self.parallel {
            put_hashed_in_parallel(lane, list, &chunks)?;
        } else {
            chunks.iter().try_for_each(|chunk| put_chunk(lane, list, chunk))?;
        }
        self.buffer.copy_within(used..end, start);
        self.uncut = start..start + (end - used);
        Ok(())
    }
}

fn put_hashed_in_parallel(
    lane: &mut Lane,
    list: &mut ListBuilder,
    chunks: &[&[u8]],
) -> RepoResult<()> {
    let ids = ids_of(lane);
    let ids: Vec<_> = chunks
        .par_iter()
        .map(|chunk| (!is_zero(chunk)).then(|| ids.chunk_id(ChunkKind::Data, chunk)))
        .collect();
    for (chunk, id) in chunks.iter().zip(ids) {
        match id {
            Some(id) => put_hashed(lane, list, chunk, id)?,
            None => list.push(lane, Ref::Hole { len: chunk.len() as u64 })?,
        }
    }
    Ok(())
}

fn put_chunk(lane: &mut Lane, list: &mut ListBuilder, chunk: &[u8]) -> RepoResult<()> {
    if is_zero(chunk) {
        return list.push(lane, Ref::Hole { len: chunk.len() as u64 });
    }
    let id = ids_of(lane).chunk_id(ChunkKind::Data, chunk);
    put_hashed(lane, list, chunk, id)
}

fn put_hashed(
    lane: &mut Lane,
    list: &mut ListBuilder,
    chunk: &[u8],
    id: crate::id::ChunkId,
) -> RepoResult<()> {
    lane.put(ChunkKind::Data, &id, chunk)?;
    let len = u32::try_from(chunk.len()).expect("chunks are at most 4 MiB");
    list.push(lane, Ref::Data { id, len })
}

fn ids_of<'s>(lane: &Lane<'s>) -> &'s IdKeys {
    lane.session().ids()
}
