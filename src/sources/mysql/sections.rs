//! Files of a dump: one for each table, one for what comes before all tables, one for after.
//!
//! The file before all tables stays open to the end, because placeholders of views come between
//! tables.

use std::io;

use blake3::Hasher;

use super::scanner::Event;
use crate::backup::{FileNumber, FileSink};
use crate::sources::escape::escape;
use crate::sources::manifest::FileRecord;

/// The file that creates the database.
pub(super) const CREATE: &str = "!create.sql";
const HEADER: &str = "!header.sql";
const FOOTER: &str = "~footer.sql";

/// Bytes that are collected before they are passed on: rows are short.
const BUFFER_LEN_BYTES: usize = 64 << 10;

/// A file that is being written.
struct OpenFile {
    number: FileNumber,
    record: FileRecord,
    hasher: Hasher,
    buffer: Vec<u8>,
}

impl OpenFile {
    fn begin(sink: &mut dyn FileSink, record: FileRecord) -> io::Result<Self> {
        let number = sink.begin(record.path.as_bytes())?;
        Ok(Self { number, record, hasher: Hasher::new(), buffer: Vec::new() })
    }

    fn write(&mut self, sink: &mut dyn FileSink, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER_LEN_BYTES {
            self.flush(sink)?;
        }
        if bytes.len() >= BUFFER_LEN_BYTES {
            return self.pass(sink, bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self, sink: &mut dyn FileSink) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        if !buffer.is_empty() {
            self.pass(sink, &buffer)?;
        }
        buffer.clear();
        self.buffer = buffer;
        Ok(())
    }

    fn pass(&mut self, sink: &mut dyn FileSink, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.record.bytes += bytes.len() as u64;
        sink.write(self.number, bytes)
    }

    fn end(mut self, sink: &mut dyn FileSink) -> io::Result<FileRecord> {
        self.flush(sink)?;
        sink.end(self.number)?;
        self.record.blake3 = self.hasher.finalize().to_hex().to_string();
        Ok(self.record)
    }
}

/// Writes one whole file, and returns its record.
pub(super) fn write_file(
    sink: &mut dyn FileSink,
    path: &str,
    content: &[u8],
) -> io::Result<FileRecord> {
    let record = FileRecord { path: path.to_owned(), ..FileRecord::default() };
    let mut file = OpenFile::begin(sink, record)?;
    file.write(sink, content)?;
    file.end(sink)
}

/// Receives the text of a dump; passes it on as files, or as one.
pub(super) trait Receiver {
    /// Receives an event of the scanner.
    fn receive(&mut self, event: Event, sink: &mut dyn FileSink) -> io::Result<()>;

    /// Ends the files, and returns their records in loading order.
    fn finish(self: Box<Self>, sink: &mut dyn FileSink) -> io::Result<Vec<FileRecord>>;
}

/// Where text belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Header,
    Table,
    Footer,
}

/// A dump as a file for each table.
pub(super) struct Sections {
    place: Place,
    header: OpenFile,
    table: Option<OpenFile>,
    footer: Option<OpenFile>,
    ended: Vec<FileRecord>,
    /// Returns whether the rows of a table are left out.
    is_left_out: Box<dyn Fn(&str) -> bool + Send>,
    /// Whether those of this table are.
    has_no_rows: bool,
}

impl Sections {
    /// Begins the files; rows of tables for which `is_left_out` is true are not passed on.
    pub(super) fn begin(
        sink: &mut dyn FileSink,
        is_left_out: Box<dyn Fn(&str) -> bool + Send>,
    ) -> io::Result<Self> {
        let record = FileRecord { path: HEADER.to_owned(), ..FileRecord::default() };
        Ok(Self {
            place: Place::Header,
            header: OpenFile::begin(sink, record)?,
            table: None,
            footer: None,
            ended: Vec::new(),
            is_left_out,
            has_no_rows: false,
        })
    }

    fn file(&mut self) -> &mut OpenFile {
        let file = match self.place {
            Place::Header => None,
            Place::Table => self.table.as_mut(),
            Place::Footer => self.footer.as_mut(),
        };
        file.unwrap_or(&mut self.header)
    }

    fn end_table(&mut self, sink: &mut dyn FileSink) -> io::Result<()> {
        if let Some(table) = self.table.take() {
            self.ended.push(table.end(sink)?);
        }
        Ok(())
    }

    fn begin_table(&mut self, name: String, sink: &mut dyn FileSink) -> io::Result<()> {
        self.end_table(sink)?;
        self.has_no_rows = (self.is_left_out)(&name);
        let path = format!("{}.sql", escape(&name));
        let record = FileRecord { path, holds: name, rows: Some(0), ..FileRecord::default() };
        self.table = Some(OpenFile::begin(sink, record)?);
        self.place = Place::Table;
        Ok(())
    }
}

impl Receiver for Sections {
    fn receive(&mut self, event: Event, sink: &mut dyn FileSink) -> io::Result<()> {
        let is_left_out = self.place == Place::Table && self.has_no_rows;
        match event {
            Event::Table(name) => self.begin_table(name, sink),
            Event::Header => {
                self.place = Place::Header;
                Ok(())
            }
            Event::Footer => {
                self.end_table(sink)?;
                let record = FileRecord { path: FOOTER.to_owned(), ..FileRecord::default() };
                self.footer = Some(OpenFile::begin(sink, record)?);
                self.place = Place::Footer;
                Ok(())
            }
            Event::Row(_) | Event::RowEnd if is_left_out => Ok(()),
            Event::Text(bytes) | Event::Row(bytes) => self.file().write(sink, bytes),
            Event::RowEnd => {
                let rows = &mut self.file().record.rows;
                *rows = rows.map(|rows| rows + 1);
                Ok(())
            }
        }
    }

    fn finish(mut self: Box<Self>, sink: &mut dyn FileSink) -> io::Result<Vec<FileRecord>> {
        self.end_table(sink)?;
        let mut records = vec![self.header.end(sink)?];
        records.append(&mut self.ended);
        if let Some(footer) = self.footer {
            records.push(footer.end(sink)?);
        }
        Ok(records)
    }
}

/// A dump as one file, which is the whole dump.
pub(super) struct Whole(OpenFile);

impl Whole {
    /// Begins the file.
    pub(super) fn begin(sink: &mut dyn FileSink) -> io::Result<Self> {
        OpenFile::begin(sink, FileRecord::default()).map(Self)
    }
}

impl Receiver for Whole {
    fn receive(&mut self, event: Event, sink: &mut dyn FileSink) -> io::Result<()> {
        match event {
            Event::Text(bytes) | Event::Row(bytes) => self.0.write(sink, bytes),
            _ => Ok(()),
        }
    }

    fn finish(self: Box<Self>, sink: &mut dyn FileSink) -> io::Result<Vec<FileRecord>> {
        Ok(vec![self.0.end(sink)?])
    }
}
