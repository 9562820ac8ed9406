//! What all kinds of archives share.

use std::io::{self, Write};

use crate::repo::read::file_stream::StreamError;
use crate::repo::{self, DirEntry};

/// What is in an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchiveReport {
    /// Entries that are not folders.
    pub files: u64,
    /// Folders.
    pub dirs: u64,
    /// Entries among the files that are only further names of others.
    pub hard_links: u64,
    /// Bytes of content.
    pub bytes: u64,
    /// Bytes of the archive.
    pub archive_bytes: u64,
    /// Entries that are not in the archive because stored data is damaged or missing.
    pub damaged: u64,
    /// Entries that the format cannot hold.
    pub left_out: u64,
    /// Entries that lack something that the format cannot hold.
    pub partial: u64,
}

/// An entry of an archive.
pub struct Member<'a> {
    /// Its path in the archive, without a leading slash.
    pub path: &'a [u8],
    /// What the snapshot says of it.
    pub found: &'a DirEntry,
    /// Path of the entry in the archive that it is another name of.
    pub link_to: Option<&'a [u8]>,
}

/// What an entry has that a format cannot hold.
pub enum Lack {
    /// It fits.
    Nothing,
    /// The entry is there without it.
    Part(&'static str),
    /// The entry is not there.
    All(&'static str),
    /// The entry is not there, and nothing is lost.
    Trifle(&'static str),
}

/// Why an entry could not be added.
pub enum AddError {
    /// The archive is as it was before.
    Before(repo::Error),
    /// Its beginning is in the archive.
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
pub type WriteContent<'a> = dyn FnMut(&mut dyn Write) -> std::result::Result<(), StreamError> + 'a;

/// A kind of archive that is being written.
pub trait Format {
    /// Returns whether further names of one file are held as such.
    fn holds_links(&self) -> bool;

    /// Returns what is lost of an entry.
    fn lack(&self, path: &[u8], found: &DirEntry) -> Lack;

    /// Adds an entry; its content is asked for once at most.
    fn add(
        &mut self,
        member: &Member<'_>,
        content: &mut WriteContent<'_>,
    ) -> std::result::Result<(), AddError>;

    /// Ends the archive.
    fn finish(&mut self) -> io::Result<()>;
}

/// Counts what goes through.
pub struct Counted<W> {
    /// Where it goes.
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
