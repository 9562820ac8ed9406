//! Output of the content of one file.

use std::io::Write;

use super::error::Error;
use super::resolve::ResolvedPath;
use crate::format::entry::{Content, EntryKind};
use crate::monitor::Monitor;
use crate::repo::Trees;
use crate::repo::read::file_stream::{StreamError, stream_file};

/// Writes the content of a file (or the target of a symbolic link) to `out` and returns its length
/// in bytes.
///
/// Every chunk is verified before any byte of it is written; after a failure, the output is the
/// file's beginning. Holes are written as zeros. Takes at most about 100 MiB, mostly the reader's
/// cache, for a file of any size.
pub fn cat(
    trees: &Trees,
    place: &ResolvedPath,
    out: &mut dyn Write,
    monitor: &Monitor,
) -> Result<u64, Error> {
    let path = || String::from_utf8_lossy(&place.path).into_owned();
    let Some(found) = &place.entry else {
        return Err(Error::NotAFile { path: path(), kind: "directory" });
    };
    if matches!(found.entry.content, Content::None | Content::Tree(_)) {
        return Err(Error::NotAFile { path: path(), kind: kind_name(found.entry.kind) });
    }
    match stream_file(trees, &found.entry, &place.path, out, monitor) {
        Ok(()) => Ok(found.entry.size),
        Err(StreamError::Repository(error)) => Err(error.into()),
        Err(StreamError::Output(source)) => Err(Error::Output { path: path(), source }),
    }
}

/// Returns the name of a kind of entry for people.
fn kind_name(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Dir => "directory",
        EntryKind::Symlink => "symbolic link",
        EntryKind::Fifo => "named pipe",
        EntryKind::Socket => "socket",
        EntryKind::CharDevice => "character device",
        EntryKind::BlockDevice => "block device",
    }
}
