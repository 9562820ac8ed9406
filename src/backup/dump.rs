//! Sources that no file system holds: the output of programs, as files of the snapshot.
//!
//! Each is opened when the one before has ended: a second dump that waits is hung up on by its
//! server.

use std::io;
use std::path::PathBuf;

use crate::chunker::Cutting;

/// Number of a file that a dump has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileNumber(pub u32);

/// Receives the files that a dump fills, one after another or several at once.
///
/// An error of it ends the dump: the caller passes it on.
pub trait FileSink {
    /// Begins a file. `path` is relative, below the dump's own path; if it is empty, the dump is
    /// this one file.
    ///
    /// Fails if the path is not valid or was begun before.
    fn begin(&mut self, path: &[u8]) -> io::Result<FileNumber>;

    /// Appends to a file that was begun and has not ended.
    fn write(&mut self, file: FileNumber, bytes: &[u8]) -> io::Result<()>;

    /// Ends a file.
    fn end(&mut self, file: FileNumber) -> io::Result<()>;
}

/// A dump that is about to be read.
pub trait Dump: Send {
    /// Fills its files. Fails if anything is missing: half a dump must never look complete.
    fn run(self: Box<Self>, sink: &mut dyn FileSink) -> io::Result<()>;
}

/// A dump to back up, and how.
pub struct DumpSource {
    /// Absolute path in the snapshot, of its file or of the folder of its files; raw bytes.
    pub path: Vec<u8>,
    /// Opens it, when the one before has ended.
    pub open: Box<dyn FnOnce() -> io::Result<Box<dyn Dump>> + Send>,
    /// Chunk sizes, if not the backup's.
    pub cutting: Option<Cutting>,
    /// File of this host that it replaces, and whose owner, mode and times its file gets; `None`
    /// for a private file that is made now.
    pub original: Option<PathBuf>,
    /// Whether the backup continues without it if it cannot be read; this is reported.
    pub may_fail: bool,
}
