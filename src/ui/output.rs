//! Standard output: what was asked for, as text or as one JSON document. Standard error, for the
//! rest.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;

use serde::Serialize;
use serde_json::Value;

use super::json;

/// Standard output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub struct OutputError(#[from] io::Error);

impl OutputError {
    /// Returns whether the reader simply went away, as in `drumlin snapshots | head`.
    pub fn reader_is_gone(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Buffered standard output; `write!` and `writeln!` work on it.
///
/// The standard library's own handle writes line by line, which is slow for lists and worse for
/// files.
pub struct BufferedStdout(BufWriter<File>);

impl BufferedStdout {
    /// Opens standard output.
    pub fn open() -> Result<Self, OutputError> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self(BufWriter::with_capacity(64 << 10, file)))
    }

    /// Writes formatted text.
    pub fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> Result<(), OutputError> {
        Ok(self.0.write_fmt(text)?)
    }

    /// Writes bytes as they are.
    pub fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        Ok(self.0.write_all(bytes)?)
    }

    /// Writes one JSON document, readable and with a line's end.
    pub fn write_json(&mut self, document: &impl Serialize) -> Result<(), OutputError> {
        json::write_pretty(&mut self.0, document)?;
        Ok(self.0.write_all(b"\n")?)
    }

    /// Returns the underlying writer, for output of many megabytes.
    pub fn writer(&mut self) -> &mut dyn Write {
        &mut self.0
    }

    /// Hands everything to the system; until then an error may be hidden. That nobody listened to
    /// the end is none.
    pub fn finish(self) -> Result<(), OutputError> {
        unless_unheard(self.finish_whole())
    }

    /// Hands everything to the system, of which the end is worth as much as the rest.
    pub fn finish_whole(mut self) -> Result<(), OutputError> {
        Ok(self.0.flush()?)
    }
}

/// Takes it for done if the reader went away: what a command did, and how it ends, does not depend
/// on who listens.
fn unless_unheard(told: Result<(), OutputError>) -> Result<(), OutputError> {
    told.or_else(|error| if error.reader_is_gone() { Ok(()) } else { Err(error) })
}

/// Writes a text, or what is left of it when the reader goes away.
pub fn print(text: &str) -> Result<(), OutputError> {
    let print = || {
        let mut out = BufferedStdout::open()?;
        writeln!(out, "{text}")?;
        out.finish()
    };
    unless_unheard(print())
}

/// Writes one JSON document to standard output.
pub fn print_json(document: &impl Serialize) -> Result<(), OutputError> {
    let print = || {
        let mut out = BufferedStdout::open()?;
        out.write_json(document)?;
        out.finish()
    };
    unless_unheard(print())
}

/// One JSON document with one long list, which is written item by item: a million items are no
/// reason to hold them all.
pub struct JsonList {
    out: BufferedStdout,
    count: u64,
}

impl JsonList {
    /// Begins the document with the fields before the list, and the list's name.
    pub fn begin(fields: &[(&str, Value)], list: &str) -> Result<Self, OutputError> {
        let mut out = BufferedStdout::open()?;
        writeln!(out, "{{")?;
        for (name, value) in fields {
            writeln!(out, "  \"{name}\": {},", json::line(value))?;
        }
        write!(out, "  \"{list}\": [")?;
        Ok(Self { out, count: 0 })
    }

    /// Adds an item.
    pub fn item(&mut self, item: &impl Serialize) -> Result<(), OutputError> {
        write!(self.out, "{}\n    ", if self.count > 0 { "," } else { "" })?;
        json::write(&mut self.out.0, item)?;
        self.count += 1;
        Ok(())
    }

    /// Ends the document with the fields after the list.
    pub fn finish(self, fields: &[(&str, Value)]) -> Result<(), OutputError> {
        unless_unheard(self.write_end(fields))
    }

    fn write_end(mut self, fields: &[(&str, Value)]) -> Result<(), OutputError> {
        write!(self.out, "{}]", if self.count > 0 { "\n  " } else { "" })?;
        for (name, value) in fields {
            write!(self.out, ",\n  \"{name}\": {}", json::line(value))?;
        }
        writeln!(self.out, "\n}}")?;
        self.out.finish()
    }
}

/// Writes to standard error; if nobody reads it, that is no reason to fail.
pub fn write_stderr(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
