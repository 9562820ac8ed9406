//! Scanner of dumps: which lines belong to which table, how many rows there are, and whether the
//! dump is whole.
//!
//! It takes bytes in any pieces and gives them back in their order. Only the beginnings of lines
//! are looked at and kept, so a row of any length passes through. The marker of a section counts
//! only between two statements: bodies of triggers and routines, names and comments may hold any
//! line.

use std::io;

use super::lexer::Lexer;

/// Most bytes of a line that are looked at: a marker with the longest name is shorter, and so is
/// the longest `sql_mode`.
const HEAD_LEN_MAX_BYTES: usize = 2 << 10;
/// Most bytes of blank lines and empty comments that wait for the marker after them.
const GAP_LEN_MAX_BYTES: usize = 64;

/// First bytes of a row.
const ROW: &[u8] = b"INSERT INTO `";
const TABLE: &[u8] = b"-- Table structure for table `";
/// A line feed in a name within a comment.
const NAME_GOES_ON: &str = "\n-- ";
/// First bytes of comments before the placeholders of views, which depend on nothing.
const PLACEHOLDERS: [&[u8]; 2] =
    [b"-- Temporary table structure for view ", b"-- Temporary view structure for view "];
/// First bytes of the first line after all tables, whichever comes first.
const FOOTERS: [&[u8]; 6] = [
    b"-- Dumping events for database ",
    b"-- Dumping routines for database ",
    b"-- Dumping libraries for database ",
    b"-- Final view structure for view ",
    b"/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE",
    b"/*!40101 SET SQL_MODE=@OLD_SQL_MODE",
];
const DELIMITER: &[u8] = b"DELIMITER ";
const TRAILER: &[u8] = b"-- Dump completed\n";
const TRAILER_WITH_DATE: &[u8] = b"-- Dump completed on ";

/// Found in a dump. All text comes in the order of the dump, and belongs to the last section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// What follows is not of one table, but for before all tables.
    Header,
    /// What follows is of the table of this name.
    Table(String),
    /// What follows is for after all tables.
    Footer,
    /// Text that is no row.
    Text(&'a [u8]),
    /// A piece of a row.
    Row(&'a [u8]),
    /// A row has ended.
    RowEnd,
}

/// Receives events. An error of it ends the scan.
pub(super) type Receive<'a> = &'a mut dyn FnMut(Event) -> io::Result<()>;

/// Where the scanner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// At the beginning of a line between two statements.
    Head,
    /// In a blank line or an empty comment.
    Gap,
    /// In a command of the client.
    Command,
    /// In a line of a statement that is no row, or in a comment.
    Statement,
    /// In a row before its values, where names may hold line feeds.
    RowHead { is_in_name: bool },
    /// In the values of a row, which hold none.
    Row,
}

/// Scans a dump from its first byte to its last.
pub(super) struct Scanner {
    lexer: Lexer,
    line: Line,
    /// Beginning of the line, until it is known what it is.
    head: Vec<u8>,
    gap: Vec<u8>,
    is_after_tables: bool,
    /// Whether the trailer was the last line.
    is_complete: bool,
}

impl Scanner {
    pub(super) fn new() -> Self {
        Self {
            lexer: Lexer::new(),
            line: Line::Head,
            head: Vec::new(),
            gap: Vec::new(),
            is_after_tables: false,
            is_complete: false,
        }
    }

    /// Scans more bytes.
    pub(super) fn push(&mut self, bytes: &[u8], receive: Receive) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let len = match self.line {
                Line::Head => self.push_head(rest, receive)?,
                _ => self.push_body(rest, receive)?,
            };
            rest = &rest[len..];
        }
        Ok(())
    }

    /// Ends the scan; returns whether the dump is whole: its last line is the trailer.
    pub(super) fn finish(mut self, receive: Receive) -> io::Result<bool> {
        let is_complete = self.is_complete && self.head.is_empty();
        self.flush_gap(receive)?;
        if !self.head.is_empty() {
            receive(Event::Text(&self.head))?;
        }
        Ok(is_complete)
    }

    /// Collects the head of a line until it is known what the line is; returns how much was taken.
    fn push_head(&mut self, bytes: &[u8], receive: Receive) -> io::Result<usize> {
        let room = HEAD_LEN_MAX_BYTES - self.head.len();
        let window = &bytes[..bytes.len().min(room)];
        let end = memchr::memchr(b'\n', window).map(|at| at + 1);
        let len = end.unwrap_or(window.len());
        self.head.extend_from_slice(&window[..len]);
        let is_full = self.head.len() == HEAD_LEN_MAX_BYTES;
        if !is_full && (end.is_none() || may_be_marker(&self.head)) {
            return Ok(len);
        }
        let head = std::mem::take(&mut self.head);
        if let Some(name) = marker(&head).filter(|_| !self.is_after_tables) {
            self.is_complete = false;
            receive(Event::Table(name))?;
            self.flush_gap(receive)?;
            receive(Event::Text(&head))?;
        } else {
            // More than a line, if it was a marker only at first.
            let first_len = memchr::memchr(b'\n', &head).map_or(head.len(), |at| at + 1);
            self.line_begins(&head[..first_len], receive)?;
            self.push(&head, receive)?;
        }
        if self.head.is_empty() {
            // The room is used again.
            self.head = head;
            self.head.clear();
        }
        Ok(len)
    }

    /// Decides what a line is; `head` is the line, or its first bytes.
    fn line_begins(&mut self, head: &[u8], receive: Receive) -> io::Result<()> {
        if matches!(head, b"\n" | b"--\n") {
            self.line = Line::Gap;
            return Ok(());
        }
        self.is_complete =
            head == TRAILER || head.starts_with(TRAILER_WITH_DATE) && head.ends_with(b"\n");
        if let Some(section) = self.section(head) {
            receive(section)?;
        }
        self.flush_gap(receive)?;
        self.line = Line::Statement;
        if head.starts_with(ROW) {
            self.line = Line::RowHead { is_in_name: false };
        } else if let Some(delimiter) = head.strip_prefix(DELIMITER) {
            self.lexer.set_delimiter(delimiter.trim_ascii());
            self.line = Line::Command;
        } else if head.starts_with(b"/*!") && contains(head, b" SET sql_mode ") {
            self.lexer.set_plain_backslashes(contains(head, b"NO_BACKSLASH_ESCAPES"));
        }
        Ok(())
    }

    /// Returns the section that a line begins.
    fn section(&mut self, line: &[u8]) -> Option<Event<'static>> {
        if self.is_after_tables {
            return None;
        }
        if FOOTERS.iter().any(|start| line.starts_with(start)) {
            self.is_after_tables = true;
            return Some(Event::Footer);
        }
        PLACEHOLDERS.iter().any(|start| line.starts_with(start)).then_some(Event::Header)
    }

    /// Takes bytes of a line whose kind is known; returns how many.
    fn push_body(&mut self, bytes: &[u8], receive: Receive) -> io::Result<usize> {
        if let Line::RowHead { is_in_name } = self.line {
            return self.push_row_head(is_in_name, bytes, receive);
        }
        let end = memchr::memchr(b'\n', bytes);
        let text = &bytes[..end.map_or(bytes.len(), |at| at + 1)];
        let mut is_next = end.is_some();
        match self.line {
            Line::Gap if self.gap.len() < GAP_LEN_MAX_BYTES => self.gap.extend_from_slice(text),
            Line::Row => receive(Event::Row(text))?,
            Line::Statement => {
                text.iter().for_each(|byte| self.lexer.push(*byte));
                is_next &= self.lexer.is_between();
                receive(Event::Text(text))?;
            }
            _ => {
                self.flush_gap(receive)?;
                receive(Event::Text(text))?;
            }
        }
        if is_next && self.line == Line::Row {
            receive(Event::RowEnd)?;
        }
        if is_next {
            self.line = Line::Head;
        }
        Ok(text.len())
    }

    /// Looks for the end of the names in a row.
    fn push_row_head(
        &mut self,
        mut is_in_name: bool,
        bytes: &[u8],
        receive: Receive,
    ) -> io::Result<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'`' => is_in_name = !is_in_name,
                // Of `VALUES`, or an end without values.
                b'V' | b'\n' if !is_in_name => {
                    self.line = Line::Row;
                    receive(Event::Row(&bytes[..at]))?;
                    return Ok(at);
                }
                _ => {}
            }
        }
        self.line = Line::RowHead { is_in_name };
        receive(Event::Row(bytes))?;
        Ok(bytes.len())
    }

    fn flush_gap(&mut self, receive: Receive) -> io::Result<()> {
        if !self.gap.is_empty() {
            receive(Event::Text(&self.gap))?;
            self.gap.clear();
        }
        Ok(())
    }
}

/// Returns the name of the table whose section begins with this comment, if it is one.
fn marker(comment: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(comment.strip_prefix(TABLE)?).ok()?;
    // A line feed in a name is followed by what makes the rest a comment, too.
    unquoted(&name.strip_suffix("`\n")?.replace(NAME_GOES_ON, "\n"))
}

/// Returns whether lines are the beginning of a marker whose name holds line feeds.
fn may_be_marker(lines: &[u8]) -> bool {
    let is_comment = |line: &[u8]| line.starts_with(&NAME_GOES_ON.as_bytes()[1..]);
    lines.starts_with(TABLE)
        && marker(lines).is_none()
        && lines.split_inclusive(|byte| *byte == b'\n').all(is_comment)
}

/// Returns the name that was quoted by backticks, without those around it; `None` if it was not.
fn unquoted(name: &str) -> Option<String> {
    let has_lone = name.replace("``", "").contains('`');
    (!name.is_empty() && !has_lone).then(|| name.replace("``", "`"))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

#[cfg(test)]
mod tests;
