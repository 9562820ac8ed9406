//! Sources that no file system holds: the output of programs, as files of the snapshot.
//!
//! Each is opened when the one before has ended: a second dump that waits is hung up on by its
//! server.

use std::io;
use std::path::PathBuf;

use crate::chunker::Cutting;
use crate::id::SnapshotId;

/// Number of a file that a dump has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileNumber(pub u32);

/// A file that a dump has, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedFile {
    /// Its number.
    pub file: FileNumber,
    /// Its path below the dump's own.
    pub path: Vec<u8>,
}

/// Receives the files that a dump fills, one after another or several at once.
///
/// An error of it ends the dump: the caller passes it on.
pub trait FileSink {
    /// Begins a file. `path` is relative, below the dump's own path; if it is empty, the dump is
    /// this one file.
    ///
    /// Fails if the path is not valid or belongs to another dump. Two files of one path fail the
    /// dump at its end, unless [`FileSink::keep`] decided otherwise.
    fn begin(&mut self, path: &[u8]) -> io::Result<FileNumber>;

    /// Appends to a file that was begun and has not ended.
    fn write(&mut self, file: FileNumber, bytes: &[u8]) -> io::Result<()>;

    /// Ends a file.
    fn end(&mut self, file: FileNumber) -> io::Result<()>;

    /// Keeps these files, which have ended, at these paths, and forgets all others, open ones
    /// included: for a program that replaces, renames or removes what it sent before, and, with no
    /// file, for a dump that begins again.
    ///
    /// Fails if a file has not ended, or for the reasons of [`FileSink::begin`].
    fn keep(&mut self, _files: Vec<PlacedFile>) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this receiver forgets no file"))
    }
}

/// A dump that is about to be read.
pub trait Dump: Send {
    /// Fills its files. Fails if anything is missing: half a dump must never look complete.
    fn run(self: Box<Self>, sink: &mut dyn FileSink) -> io::Result<()>;
}

/// A file that a snapshot is known to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownFile {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Length of the file in bytes.
    pub len_bytes: u64,
}

/// A dump to back up, and how.
pub struct DumpSource {
    /// Absolute path in the snapshot, of its file or of the folder of its files; raw bytes.
    pub path: Vec<u8>,
    /// Opens it, when the one before has ended.
    pub open: Box<dyn FnOnce() -> io::Result<Box<dyn Dump>> + Send>,
    /// The file that it would make again, as the caller knows: if the parent is this snapshot and
    /// has a file of this length at `path`, that one is taken over, and the dump is not opened.
    pub known: Option<KnownFile>,
    /// Chunk sizes, if not the backup's.
    pub cutting: Option<Cutting>,
    /// File of this host that it replaces, and whose owner, mode and times its file gets; `None`
    /// for a private file that is made now.
    pub original: Option<PathBuf>,
    /// Whether the backup continues without it if it cannot be read; this is reported.
    pub may_fail: bool,
}
