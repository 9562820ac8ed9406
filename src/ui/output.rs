//! Standard output for results, as text or one JSON document; standard error for the rest.

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
    /// Returns whether the reader closed the pipe, as in `drumlin snapshots | head`.
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

    /// Writes one indented JSON document and a line end.
    pub fn write_json(&mut self, document: &impl Serialize) -> Result<(), OutputError> {
        json::write_pretty(&mut self.0, document)?;
        Ok(self.0.write_all(b"\n")?)
    }

    /// Returns the underlying writer, for output of many megabytes.
    pub fn writer(&mut self) -> &mut dyn Write {
        &mut self.0
    }

    /// Flushes everything, since errors may appear only then. A reader that closed the pipe is no
    /// error.
    pub fn finish(self) -> Result<(), OutputError> {
        unless_unheard(self.finish_whole())
    }

    /// Flushes everything; a reader that closed the pipe is an error, because the output is useless
    /// without its end.
    pub fn finish_whole(mut self) -> Result<(), OutputError> {
        Ok(self.0.flush()?)
    }
}

/// Ignores a closed pipe: the result of a command does not depend on its reader.
fn unless_unheard(told: Result<(), OutputError>) -> Result<(), OutputError> {
    told.or_else(|error| if error.reader_is_gone() { Ok(()) } else { Err(error) })
}

/// Prints a text; a closed pipe is no error.
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

/// One JSON document with one list, which is written item by item, so that a million items need no
/// memory.
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

/// Writes to standard error and ignores failures.
pub fn write_stderr(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
