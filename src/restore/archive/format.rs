//! The interface of archive formats.

use std::io::{self, Write};

use crate::repo::read::file_stream::StreamError;
use crate::repo::{self, DirEntry};

/// Counts of an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchiveReport {
    /// Entries that are not directories.
    pub files: u64,
    /// Directories.
    pub dirs: u64,
    /// Entries among the files that are hard links to others.
    pub hard_links: u64,
    /// Bytes of content.
    pub bytes: u64,
    /// Bytes of the archive.
    pub archive_bytes: u64,
    /// Entries that are left out because stored data is damaged or missing.
    pub damaged: u64,
    /// Entries that the format cannot hold.
    pub left_out: u64,
    /// Entries that are archived without something that the format cannot hold.
    pub partial: u64,
}

/// An entry of an archive.
pub(super) struct Member<'a> {
    /// Its path in the archive, without a leading slash.
    pub path: &'a [u8],
    /// The entry in the snapshot.
    pub found: &'a DirEntry,
    /// Path of the archived entry that it is a hard link to.
    pub link_to: Option<&'a [u8]>,
}

/// The part of an entry that a format cannot hold.
pub(super) enum Lack {
    /// Nothing: all of it fits.
    Nothing,
    /// A part: the entry is archived without it.
    Part(&'static str),
    /// The whole entry: it is left out.
    All(&'static str),
    /// The whole entry, without loss of data.
    Trifle(&'static str),
}

/// An error in adding an entry.
pub(super) enum AddError {
    /// Nothing of the entry was written.
    Before(repo::Error),
    /// Its beginning was written.
    Torn(repo::Error),
    /// The archive cannot be written.
    Output(io::Error),
}

impl From<io::Error> for AddError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<StreamError> for AddError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Repository(error) => Self::Torn(error),
            StreamError::Output(error) => Self::Output(error),
        }
    }
}

/// Writes the content of an entry.
pub(super) type WriteContent<'a> =
    dyn FnMut(&mut dyn Write) -> std::result::Result<(), StreamError> + 'a;

/// An archive in one format, while it is written.
pub(super) trait Format {
    /// Returns whether the format has hard links.
    fn holds_links(&self) -> bool;

    /// Returns what the format cannot hold of an entry.
    fn lack(&self, path: &[u8], found: &DirEntry) -> Lack;

    /// Adds an entry; calls `content` at most once.
    fn add(
        &mut self,
        member: &Member<'_>,
        content: &mut WriteContent<'_>,
    ) -> std::result::Result<(), AddError>;

    /// Finishes the archive.
    fn finish(&mut self) -> io::Result<()>;
}

/// A writer that counts bytes.
pub(super) struct Counted<W> {
    /// The inner writer.
    pub out: W,
    /// Bytes so far.
    pub written: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.out.write(bytes)?;
        self.written += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
