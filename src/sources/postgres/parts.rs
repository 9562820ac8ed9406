//! Sections of a dump, and their receiver.
//!
//! A backup stores each section as a file; a restore streams them on.

use std::io;

/// A section of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section<'a> {
    /// What comes before the first rows.
    Header,
    /// The rows of a table with this name, quoted as in SQL: `public."a b"`.
    Rows(&'a [u8]),
    /// All other content after the first rows, and the trailer. It may be entered again.
    Footer,
}

/// Receives a dump in sections.
pub trait Parts {
    /// Enters a section; the bytes that follow belong to it.
    fn begin(&mut self, section: Section<'_>) -> Result<(), Stop>;

    /// Takes bytes of the section, in pieces of any size.
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Takes a line `\restrict` or `\unrestrict`, which old clients do not know.
    fn restriction(&mut self, line: &[u8]) -> io::Result<()> {
        self.bytes(line)
    }

    /// Learns how many rows the statement has that has just ended.
    fn rows(&mut self, count: u64);
}

/// Reasons why bytes are no dump that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// There was nothing at all.
    #[error("the dump is empty")]
    Empty,
    /// The trailer is missing.
    #[error("the dump ends before its last line")]
    Cut,
    /// There is more after the trailer.
    #[error("the dump goes on after its last line")]
    AfterEnd,
    /// Rows are written in another way than by COPY.
    #[error("the rows of a table do not follow as COPY … FROM stdin")]
    NoCopy,
    /// A table is not named as `schema.table`.
    #[error("the name of a table is not understood")]
    Name,
}

/// An end of scanning before the end of the dump.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The dump is not whole.
    #[error(transparent)]
    Dump(#[from] ScanError),
    /// The receiver failed.
    #[error(transparent)]
    Receiver(#[from] io::Error),
}
