//! Files of a dump: each section counted, hashed and passed on.

use std::io;

use crate::backup::{FileNumber, FileSink};
use crate::sources::manifest::FileRecord;

use super::names::{FOOTER, HEADER, Names, Table};
use super::parts::{Parts, ScanError, Section, Stop};

/// Bytes that are passed on at once: statements are small.
const BLOCK_LEN_BYTES: usize = 64 << 10;

/// A file that was begun.
struct Open {
    number: FileNumber,
    record: FileRecord,
    hasher: blake3::Hasher,
    /// Bytes that the sink does not have yet.
    waiting: Vec<u8>,
}

/// The files that a dump fills.
pub(super) struct Files<'a> {
    sink: &'a mut dyn FileSink,
    /// What the only file holds, if the dump is one file.
    whole: Option<&'static str>,
    names: Names,
    /// The file of the current section, unless it is the footer.
    current: Option<Open>,
    /// The footer stays open: more rows may follow it.
    footer: Option<Open>,
    ended: Vec<FileRecord>,
}

impl<'a> Files<'a> {
    /// Fills a file for each section, or one file that holds `whole`.
    pub(super) fn new(sink: &'a mut dyn FileSink, whole: Option<&'static str>) -> Self {
        let names = Names::default();
        Self { sink, whole, names, current: None, footer: None, ended: Vec::new() }
    }

    /// Ends the last files; returns what is known of all, in the order in which they load.
    pub(super) fn finish(mut self) -> io::Result<Vec<FileRecord>> {
        self.end_current()?;
        if let Some(footer) = self.footer.take() {
            self.end(footer)?;
        }
        Ok(self.ended)
    }

    fn open(&mut self, path: &str, holds: String) -> io::Result<Open> {
        let number = self.sink.begin(path.as_bytes())?;
        let record = FileRecord { path: path.to_owned(), holds, ..FileRecord::default() };
        Ok(Open { number, record, hasher: blake3::Hasher::new(), waiting: Vec::new() })
    }

    fn end_current(&mut self) -> io::Result<()> {
        self.current.take().map_or(Ok(()), |open| self.end(open))
    }

    fn end(&mut self, mut open: Open) -> io::Result<()> {
        flush(&mut open, self.sink)?;
        self.sink.end(open.number)?;
        open.record.blake3 = open.hasher.finalize().to_hex().to_string();
        self.ended.push(open.record);
        Ok(())
    }

    fn section(&mut self) -> &mut Open {
        let section = self.current.as_mut().or(self.footer.as_mut());
        section.expect("the scanner begins a section before its bytes")
    }
}

impl Parts for Files<'_> {
    fn begin(&mut self, section: Section<'_>) -> Result<(), Stop> {
        self.end_current()?;
        match section {
            Section::Header => {
                let path = if self.whole.is_some() { "" } else { HEADER };
                let holds = self.whole.unwrap_or_default().to_owned();
                self.current = Some(self.open(path, holds)?);
            }
            Section::Rows(name) => {
                let table = Table::parse(name).ok_or(ScanError::Name)?;
                let path = self.names.next(table);
                let mut open = self.open(&path, String::from_utf8_lossy(name).into_owned())?;
                open.record.rows = Some(0);
                self.current = Some(open);
            }
            Section::Footer if self.footer.is_none() => {
                self.footer = Some(self.open(FOOTER, String::new())?);
            }
            Section::Footer => {}
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let open = self.section();
        open.record.bytes += bytes.len() as u64;
        open.waiting.extend_from_slice(bytes);
        if open.waiting.len() < BLOCK_LEN_BYTES {
            return Ok(());
        }
        let open = self.current.as_mut().or(self.footer.as_mut());
        open.map_or(Ok(()), |open| flush(open, self.sink))
    }

    fn rows(&mut self, count: u64) {
        let rows = &mut self.section().record.rows;
        *rows = Some(rows.unwrap_or_default() + count);
    }
}

/// Passes on the bytes that wait.
fn flush(open: &mut Open, sink: &mut dyn FileSink) -> io::Result<()> {
    open.hasher.update(&open.waiting);
    sink.write(open.number, &open.waiting)?;
    open.waiting.clear();
    Ok(())
}
