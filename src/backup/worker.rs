//! State of one thread of a backup.

use std::sync::Weak;

use super::target_writer::TargetWriter;
use super::task::Directory;

/// State of one thread: its writer and buffers.
pub(super) struct Worker<'s> {
    /// Stores chunks. One for each target, when there are several.
    pub writer: TargetWriter<'s>,
    /// Buffer for small files.
    pub buffer: Vec<u8>,
    /// Number of the thread.
    pub index: usize,
    /// The last directory that this thread scanned, and its path.
    pub last_path: Option<(Weak<Directory>, Vec<u8>)>,
}
