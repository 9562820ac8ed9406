//! What one thread of a backup works with.

use std::sync::Weak;

use super::chunk_stream::ChunkStream;
use super::known::Printer;
use super::task::Folder;
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
    /// The folder whose names this thread has looked at last, and its path.
    pub last_path: Option<(Weak<Folder>, Vec<u8>)>,
    /// Takes fingerprints of folders, once the first is needed.
    pub printer: Option<Printer>,
}
