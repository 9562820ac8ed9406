//! Random access to files of snapshots, with caches and readahead, for a mount and other long-lived
//! readers.

use std::ops::Range;
use std::sync::Arc;

use super::file_map::{FileMap, Spans};
use super::node_cache::Nodes;
use super::readahead::{ReadaheadThreads, Reading};
use super::reader::Reader;
use super::segment_cache::{Segments, SharedError};
use super::trees::Trees;
use crate::format::entry::Ref;
use crate::id::ChunkId;
use crate::repo::error::{Error, Result};

/// Caches of nodes and of decoded segments, and threads that read segments ahead.
pub struct FileContents {
    nodes: Nodes,
    segments: Arc<Segments>,
    ahead: ReadaheadThreads,
}

impl FileContents {
    /// Starts with empty caches, which hold at most `cache_len_bytes` together, and the best number
    /// of threads for the store, at least `threads_min`.
    pub fn new(reader: &Arc<Reader>, cache_len_bytes: usize, threads_min: usize) -> Result<Self> {
        let (for_nodes, for_segments) =
            (cache_len_bytes / 4, cache_len_bytes - cache_len_bytes / 4);
        let segments = Arc::new(Segments::new(reader.clone(), for_segments));
        Ok(Self {
            nodes: Nodes::new(Trees::new(reader.clone()), for_nodes),
            ahead: ReadaheadThreads::start(
                &segments,
                reader.repository().readers(threads_min),
                for_segments,
            )?,
            segments,
        })
    }

    /// Returns the cache of nodes.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Returns the pieces of a file from the one that holds the byte at `offset`.
    pub fn spans<'a>(&'a self, file: &'a FileMap, offset: u64) -> Spans<'a> {
        file.spans(&self.nodes, offset)
    }

    /// Queues chunks that are likely to be read soon.
    pub fn prefetch(&self, ids: &mut dyn Iterator<Item = ChunkId>, reading: &Reading) {
        self.ahead.ask(&self.segments, ids, reading);
    }

    /// Returns the bytes of a file in `range`, verified; fewer only at its end.
    ///
    /// `reading` holds how this open file was read before: a file that is read in order is read
    /// ahead. Fails if stored data is missing or damaged.
    pub fn read_at(
        &self,
        file: &FileMap,
        reading: &Reading,
        range: Range<u64>,
    ) -> std::result::Result<Vec<u8>, SharedError> {
        let (start, end) = (range.start, range.end.min(file.size()));
        if start >= end {
            return Ok(Vec::new());
        }
        let torn =
            || Error::WrongContent { object: String::from_utf8_lossy(file.name()).into_owned() };
        if let Some(bytes) = file.inline() {
            let part = usize::try_from(start).ok().zip(usize::try_from(end).ok());
            return Ok(part.and_then(|(from, to)| bytes.get(from..to)).ok_or_else(torn)?.to_vec());
        }
        self.ahead.on_read(&self.nodes, &self.segments, file, reading, start..end);
        let mut out = Vec::with_capacity((end - start) as usize);
        for span in file.spans(&self.nodes, start) {
            let span = span?;
            if span.start >= end {
                break;
            }
            let (from, to) = (start.max(span.start) - span.start, end.min(span.end()) - span.start);
            match span.piece {
                Ref::Hole { .. } => out.resize(out.len() + (to - from) as usize, 0),
                Ref::Data { id, len } => {
                    self.segments.copy(&id, len, from as usize..to as usize, &mut out)?
                }
            }
        }
        if out.len() as u64 == end - start { Ok(out) } else { Err(torn().into()) }
    }
}
