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
        Self { cutter, buffer: Vec::new(), parallel }
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
        let room = (2 * self.cutter.len_max()).max(READ_LEN_BYTES) + PADDING_MAX_BYTES;
        self.buffer.resize(room.max(self.buffer.len()), 0);
        let start = padding(self.buffer.as_ptr());
        let (mut filled, mut total, mut at_end) = (start, 0, false);
        while !at_end {
            while filled < self.buffer.len() && !at_end {
                match read(&mut self.buffer[filled..]) {
                    Ok(0) => at_end = true,
                    Ok(len) => {
                        filled += len;
                        total += len as u64;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(ChunkStreamError::Read(error)),
                }
            }
            let used = self.put_chunks(lane, list, start..filled, at_end)?;
            self.buffer.copy_within(used..filled, start);
            filled -= used - start;
        }
        Ok(total)
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

    /// Stores these bytes of the buffer as far as cut points are certain; returns where that ends.
    fn put_chunks(
        &mut self,
        lane: &mut Lane,
        list: &mut ListBuilder,
        bytes: Range<usize>,
        at_end: bool,
    ) -> RepoResult<usize> {
        let Range { start: mut used, end: filled } = bytes;
        let mut chunks = Vec::new();
        while used < filled && (at_end || filled - used >= self.cutter.len_max()) {
            let len = self.cutter.cut(&self.buffer[used..filled]);
            chunks.push(&self.buffer[used..used + len]);
            used += len;
        }
        if !self.parallel {
            chunks.iter().try_for_each(|chunk| put_chunk(lane, list, chunk))?;
            return Ok(used);
        }
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
        Ok(used)
    }
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
