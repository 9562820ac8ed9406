//! What one thread of a backup works with.

use super::chunk_stream::ChunkStream;
use super::known::Printer;
use crate::repo::Lane;

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
