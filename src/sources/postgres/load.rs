//! Stream of a dump's files on their way to `psql`.
//!
//! Versions of `psql` from before August 2025 do not know `\restrict`, with which newer dumps
//! begin, and stop at it. The two lines are found where the dump wrote them: rows and functions
//! may hold the same text.

use std::io::{self, Write};

use super::parts::{Parts, Section, Stop};
use super::scanner::Scanner;

/// Passes a dump on to `psql`, one file after another in loading order.
pub struct DumpWriter<W> {
    scanner: Scanner,
    output: Filtered<W>,
}

struct Filtered<W> {
    output: W,
    leaves_out: bool,
    left_out_count: u32,
    row_count: u64,
}

impl<W: Write> DumpWriter<W> {
    /// Begins a dump of a database; `knows_restrict` is
    /// [`Version::knows_restrict`](super::Version::knows_restrict) of the `psql` that reads it.
    pub fn of_database(output: W, knows_restrict: bool) -> Self {
        Self::new(Scanner::of_database(), output, knows_restrict)
    }

    /// Begins a dump of what databases share.
    pub fn of_globals(output: W, knows_restrict: bool) -> Self {
        Self::new(Scanner::of_cluster(), output, knows_restrict)
    }

    fn new(scanner: Scanner, output: W, knows_restrict: bool) -> Self {
        let leaves_out = !knows_restrict;
        Self { scanner, output: Filtered { output, leaves_out, left_out_count: 0, row_count: 0 } }
    }

    /// Ends the dump, and returns the output and how many lines were left out.
    ///
    /// Fails if the dump is not whole: what was loaded must be thrown away.
    pub fn finish(mut self) -> io::Result<(W, u32)> {
        self.scanner.finish(&mut self.output).map_err(io_error)?;
        self.output.output.flush()?;
        Ok((self.output.output, self.output.left_out_count))
    }

    /// Returns the number of rows so far, for progress.
    pub fn row_count(&self) -> u64 {
        self.output.row_count
    }
}

impl<W: Write> Write for DumpWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.scanner.push(bytes, &mut self.output).map_err(io_error)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.output.flush()
    }
}

impl<W: Write> Parts for Filtered<W> {
    fn begin(&mut self, _: Section<'_>) -> Result<(), Stop> {
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)
    }

    fn restriction(&mut self, line: &[u8]) -> io::Result<()> {
        if self.leaves_out {
            self.left_out_count += 1;
            return Ok(());
        }
        self.bytes(line)
    }

    fn rows(&mut self, count: u64) {
        self.row_count += count;
    }
}

fn io_error(stop: Stop) -> io::Error {
    match stop {
        Stop::Receiver(error) => error,
        Stop::Dump(error) => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n\
        CREATE FUNCTION f() AS $$\n\\restrict abc\n$$;\n\n\
        --\n-- Data for Name: t; Type: TABLE DATA; Schema: s; Owner: o\n--\n\n\
        COPY s.t (a) FROM stdin;\n\\\\restrict abc\n\\.\n\n\n\
        --\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n\n";

    fn load(dump: &str, knows_restrict: bool) -> io::Result<(String, u32)> {
        let mut writer = DumpWriter::of_database(Vec::new(), knows_restrict);
        for piece in dump.as_bytes().chunks(7) {
            writer.write_all(piece)?;
        }
        let rows = writer.row_count();
        let (output, left_out) = writer.finish()?;
        assert_eq!(rows, 1);
        Ok((String::from_utf8(output).unwrap(), left_out))
    }

    #[test]
    fn only_the_lines_of_the_dump_itself_are_left_out() {
        assert_eq!(load(DUMP, true).unwrap(), (DUMP.to_owned(), 0));
        let (output, left_out) = load(DUMP, false).unwrap();
        let expected =
            DUMP.replacen("\\restrict abc\n", "", 1).replacen("\\unrestrict abc\n", "", 1);
        assert_eq!((output, left_out), (expected, 2));
    }

    #[test]
    fn a_dump_that_is_cut_does_not_load_to_its_end() {
        for len in [0, 30, 100, 200, DUMP.len() - 20] {
            let mut writer = DumpWriter::of_database(Vec::new(), true);
            writer.write_all(&DUMP.as_bytes()[..len]).unwrap();
            let error = writer.finish().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{len}");
        }
    }
}
