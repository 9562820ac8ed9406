//! Scanner of plain dumps, as `pg_dump` and `pg_dumpall` write them.
//!
//! It finds the rows of each table, counts them, and knows whether the dump is whole. It takes
//! bytes in pieces of any size and holds back a few lines at most: rows and statements may be
//! larger than the memory. Markers count where the dump itself wrote them: outside quotes and
//! outside rows.

use memchr::memchr;

use super::parts::{Parts, ScanError, Section, Stop};
use super::quotes::Quotes;

/// Last comment of a dump by `pg_dump`.
pub(super) const DATABASE_TRAILER: &str = "-- PostgreSQL database dump complete";
/// Last comment of a dump by `pg_dumpall`.
pub(super) const CLUSTER_TRAILER: &str = "-- PostgreSQL database cluster dump complete";

/// Most bytes of a comment that may mean something: two names of 63 bytes and some words.
const COMMENT_LEN_MAX_BYTES: usize = 4 << 10;
/// Most bytes that are held back from a table's comment to its name.
const HELD_LEN_MAX_BYTES: usize = 64 << 10;
/// Start of the comment before the rows of a table; other content has it too.
const DATA_START: &[u8] = b"-- Data for Name: ";
/// What that comment contains if it is a table's.
const DATA_OF_TABLE: &[u8] = b"; Type: TABLE DATA; ";
const COPY: &[u8] = b"COPY ";
const COPY_END: &[u8] = b"FROM stdin;\n";

/// Where in a dump the next byte is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    /// At the beginning of a line outside quotes.
    Line,
    /// In a comment or a command of `psql`, of which the whole line is held.
    Comment,
    /// In a statement.
    Sql,
    /// In the name of the table of a COPY statement.
    CopyName,
    /// In the rest of a COPY statement.
    CopyEnd,
    /// In rows, at this place of a line.
    Rows(RowPlace),
}

/// What a line of rows began with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum RowPlace {
    Start,
    Backslash,
    Dot,
    Inside,
}

/// How far the trailer was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Ahead,
    Trailer,
    Closed,
}

/// The scanner of one dump.
pub struct Scanner {
    trailer: &'static str,
    is_split: bool,
    mode: Mode,
    quotes: Quotes,
    /// Bytes that were not passed on yet; the current line begins at `line_at`.
    held: Vec<u8>,
    line_at: usize,
    /// Whether the comment of a table's rows was seen, and the rows were not.
    is_copy_due: bool,
    has_begun: bool,
    has_rows: bool,
    is_in_footer: bool,
    is_restricted: bool,
    end: End,
    row_count: u64,
    /// The last bytes of a COPY statement.
    tail: Vec<u8>,
}

impl Scanner {
    /// Begins a dump of a database, whose rows are sections of their own.
    pub fn of_database() -> Self {
        Self::new(DATABASE_TRAILER, true)
    }

    /// Begins a dump of what databases share; it is one section.
    pub fn of_cluster() -> Self {
        Self::new(CLUSTER_TRAILER, false)
    }

    fn new(trailer: &'static str, is_split: bool) -> Self {
        Self {
            trailer,
            is_split,
            mode: Mode::Line,
            quotes: Quotes::default(),
            held: Vec::new(),
            line_at: 0,
            is_copy_due: false,
            has_begun: false,
            has_rows: false,
            is_in_footer: false,
            is_restricted: false,
            end: End::Ahead,
            row_count: 0,
            tail: Vec::new(),
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, mut input: &[u8], parts: &mut dyn Parts) -> Result<(), Stop> {
        while let Some(first) = input.first() {
            let len = match self.mode {
                Mode::Line => self.line(*first, parts).map(|()| 1)?,
                Mode::Comment => self.comment(input, parts)?,
                Mode::Sql => self.sql(input, parts)?,
                Mode::CopyName => self.copy_name(input, parts)?,
                Mode::CopyEnd => self.copy_end(input, parts)?,
                Mode::Rows(place) => self.rows(place, input, parts)?,
            };
            input = &input[len..];
        }
        Ok(())
    }

    /// Ends the dump. Fails if it is not whole.
    pub fn finish(mut self, parts: &mut dyn Parts) -> Result<(), Stop> {
        if !self.has_begun && self.held.is_empty() {
            return Err(ScanError::Empty.into());
        }
        let is_at_line = self.mode == Mode::Line && self.line_at == self.held.len();
        let is_whole = is_at_line && !self.is_copy_due;
        if !is_whole || self.end != End::Closed || self.is_restricted {
            return Err(ScanError::Cut.into());
        }
        self.release(parts)
    }

    /// Takes a byte at the beginning of a line, until it is clear what the line is.
    fn line(&mut self, byte: u8, parts: &mut dyn Parts) -> Result<(), Stop> {
        self.held.push(byte);
        let line = &self.held[self.line_at..];
        match line {
            b"\n" if self.is_copy_due => self.hold(),
            b"\n" => self.release(parts),
            b"-" => Ok(()),
            b"--" | b"\\" => {
                self.mode = Mode::Comment;
                Ok(())
            }
            line if line == COPY => {
                self.fail_if_ended()?;
                self.mode = Mode::CopyName;
                Ok(())
            }
            line if COPY.starts_with(line) => Ok(()),
            line => {
                let has_ended = self.quotes.until(line, b'\n').is_some();
                self.mode = if has_ended { Mode::Line } else { Mode::Sql };
                self.fail_if_ended()?;
                if self.is_copy_due {
                    return Err(ScanError::NoCopy.into());
                }
                self.release(parts)
            }
        }
    }

    fn fail_if_ended(&self) -> Result<(), Stop> {
        if self.end == End::Ahead { Ok(()) } else { Err(ScanError::AfterEnd.into()) }
    }

    fn comment(&mut self, input: &[u8], parts: &mut dyn Parts) -> Result<usize, Stop> {
        let end = memchr(b'\n', input).map(|at| at + 1);
        let len = end.unwrap_or(input.len()).min(COMMENT_LEN_MAX_BYTES);
        self.held.extend_from_slice(&input[..len]);
        if end == Some(len) {
            self.mode = Mode::Line;
            self.end_comment(parts)?;
        } else if self.held.len() - self.line_at > COMMENT_LEN_MAX_BYTES {
            // None of ours is so long.
            self.mode = Mode::Sql;
            self.quotes.begin_comment();
            self.release(parts)?;
        }
        Ok(len)
    }

    /// Decides about a whole line that is a comment or a command of `psql`.
    fn end_comment(&mut self, parts: &mut dyn Parts) -> Result<(), Stop> {
        let line = self.held[self.line_at..].trim_ascii_end();
        let is_title = self.line_at > 0 && line.starts_with(b"-- ");
        match line {
            // It may begin the title of a section.
            b"--" => {
                if self.end == End::Trailer {
                    self.end = End::Closed;
                }
                if !self.is_copy_due {
                    self.release_before_line(parts)?;
                }
                self.hold()
            }
            line if line == self.trailer.as_bytes() => {
                self.end = End::Trailer;
                self.enter_rest(true, parts)
            }
            line if is_title && self.is_split && is_table_data(line) => {
                self.is_copy_due = true;
                self.hold()
            }
            _ if self.is_copy_due => self.hold(),
            _ if is_title => self.enter_rest(self.has_rows, parts),
            [b'\\', ..] => {
                self.is_restricted = match line {
                    [b'\\', b'r', b'e', b's', b't', ..] => true,
                    [b'\\', b'u', b'n', ..] => false,
                    _ => return self.release(parts),
                };
                self.release_before_line(parts)?;
                let line = std::mem::take(&mut self.held);
                Ok(parts.restriction(&line)?)
            }
            _ => self.release(parts),
        }
    }

    fn sql(&mut self, input: &[u8], parts: &mut dyn Parts) -> Result<usize, Stop> {
        let end = self.quotes.until(input, b'\n');
        if end.is_some() {
            self.mode = Mode::Line;
        }
        let len = end.unwrap_or(input.len());
        parts.bytes(&input[..len])?;
        Ok(len)
    }

    fn copy_name(&mut self, input: &[u8], parts: &mut dyn Parts) -> Result<usize, Stop> {
        let end = self.quotes.until(input, b' ');
        let len = end.unwrap_or(input.len());
        self.held.extend_from_slice(&input[..len]);
        if self.held.len() > HELD_LEN_MAX_BYTES {
            return Err(ScanError::NoCopy.into());
        }
        if end.is_some() {
            if std::mem::take(&mut self.is_copy_due) {
                self.begin_header(parts)?;
                let name = &self.held[self.line_at + COPY.len()..self.held.len() - 1];
                parts.begin(Section::Rows(name))?;
                (self.has_rows, self.is_in_footer) = (true, false);
            }
            self.release(parts)?;
            self.tail.clear();
            self.mode = Mode::CopyEnd;
        }
        Ok(len)
    }

    fn copy_end(&mut self, input: &[u8], parts: &mut dyn Parts) -> Result<usize, Stop> {
        let end = self.quotes.until(input, b'\n');
        let len = end.unwrap_or(input.len());
        self.tail.extend_from_slice(&input[len.saturating_sub(COPY_END.len())..len]);
        self.tail.drain(..self.tail.len().saturating_sub(COPY_END.len()));
        parts.bytes(&input[..len])?;
        if end.is_some() {
            if self.tail != COPY_END {
                return Err(ScanError::NoCopy.into());
            }
            (self.mode, self.row_count) = (Mode::Rows(RowPlace::Start), 0);
        }
        Ok(len)
    }

    fn rows(
        &mut self,
        mut place: RowPlace,
        input: &[u8],
        parts: &mut dyn Parts,
    ) -> Result<usize, Stop> {
        let mut at = 0;
        while at < input.len() {
            place = match (place, input[at]) {
                (RowPlace::Start, b'\\') => RowPlace::Backslash,
                (RowPlace::Backslash, b'.') => RowPlace::Dot,
                (RowPlace::Dot, b'\n') => {
                    self.mode = Mode::Line;
                    parts.bytes(&input[..=at])?;
                    parts.rows(self.row_count);
                    return Ok(at + 1);
                }
                _ => match memchr(b'\n', &input[at..]) {
                    Some(len) => {
                        at += len;
                        self.row_count += 1;
                        RowPlace::Start
                    }
                    None => {
                        at = input.len() - 1;
                        RowPlace::Inside
                    }
                },
            };
            at += 1;
        }
        self.mode = Mode::Rows(place);
        parts.bytes(input)?;
        Ok(input.len())
    }

    /// Enters the header or the footer with what is held.
    fn enter_rest(&mut self, is_footer: bool, parts: &mut dyn Parts) -> Result<(), Stop> {
        if self.is_split && is_footer && !self.is_in_footer {
            self.begin_header(parts)?;
            parts.begin(Section::Footer)?;
            self.is_in_footer = true;
        }
        self.release(parts)
    }

    /// Holds back the line that has ended.
    fn hold(&mut self) -> Result<(), Stop> {
        self.line_at = self.held.len();
        if self.line_at > HELD_LEN_MAX_BYTES { Err(ScanError::NoCopy.into()) } else { Ok(()) }
    }

    /// Passes on what is held before the current line.
    fn release_before_line(&mut self, parts: &mut dyn Parts) -> Result<(), Stop> {
        let line = self.held.split_off(self.line_at);
        self.release(parts)?;
        self.held = line;
        Ok(())
    }

    /// Passes on what is held.
    fn release(&mut self, parts: &mut dyn Parts) -> Result<(), Stop> {
        self.begin_header(parts)?;
        if !self.held.is_empty() {
            parts.bytes(&self.held)?;
        }
        self.held.clear();
        self.line_at = 0;
        Ok(())
    }

    fn begin_header(&mut self, parts: &mut dyn Parts) -> Result<(), Stop> {
        if !std::mem::replace(&mut self.has_begun, true) {
            parts.begin(Section::Header)?;
        }
        Ok(())
    }
}

fn is_table_data(line: &[u8]) -> bool {
    line.starts_with(DATA_START)
        && line.windows(DATA_OF_TABLE.len()).any(|part| part == DATA_OF_TABLE)
}

#[cfg(test)]
mod tests;
