//! What one thread of a backup works with.

use std::sync::Weak;

use super::target_writer::TargetWriter;
use super::task::Folder;

/// A thread's means: its lane, its buffers.
pub struct Worker<'s> {
    /// Where chunks go.
    pub writer: TargetWriter<'s>,
    /// Holds small files.
    pub buffer: Vec<u8>,
    /// The thread's number.
    pub index: usize,
    /// The folder whose names this thread has looked at last, and its path.
    pub last_path: Option<(Weak<Folder>, Vec<u8>)>,
}
