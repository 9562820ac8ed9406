//! Rows joined into statements again, for loading.
//!
//! A dump has a statement for each row, because that dedups; loading it so takes three times as
//! long. Only rows are joined that follow one another: bodies of routines may hold lines that look
//! the same, and stay as they are.

use std::io;

use super::scanner::{Event, Scanner};

/// Most bytes of a joined statement; one row may be longer.
const STATEMENT_LEN_MAX_BYTES: usize = 1 << 20;

const VALUES: &[u8] = b"VALUES ";
const ROW_END: &[u8] = b";\n";
/// First bytes of the line that keeps a client from running commands, in both spellings. Clients
/// that do not know it fail.
const SANDBOX: [&[u8]; 2] =
    [b"/*M!999999\\- enable the sandbox mode", b"/*!999999\\- enable the sandbox mode"];

/// Receives what is to be loaded.
pub type Write<'a> = &'a mut dyn FnMut(&[u8]) -> io::Result<()>;

/// Joins the rows of a dump, or of several files of one in loading order, while it streams.
///
/// It keeps at most 2 MiB.
pub struct Joiner {
    scanner: Scanner,
    rows: Rows,
}

impl Joiner {
    /// Starts at the beginning of a dump. `has_sandbox` says whether the client that loads knows
    /// the line that enables the sandbox: else the line is left out.
    pub fn new(has_sandbox: bool) -> Self {
        let rows = Rows {
            may_skip_sandbox: !has_sandbox,
            row: Vec::new(),
            is_long: false,
            statement: Vec::new(),
            head_len: 0,
        };
        Self { scanner: Scanner::new(), rows }
    }

    /// Takes bytes of the dump in any pieces. An error of `write` is passed on.
    pub fn push(&mut self, bytes: &[u8], write: Write) -> io::Result<()> {
        let rows = &mut self.rows;
        self.scanner.push(bytes, &mut |event| rows.receive(event, write))
    }

    /// Ends the dump. Returns whether it was whole: its last line was the trailer.
    pub fn finish(self, write: Write) -> io::Result<bool> {
        let Self { scanner, mut rows } = self;
        let is_whole = scanner.finish(&mut |event| rows.receive(event, write))?;
        rows.end_statement(write)?;
        if !rows.row.is_empty() {
            write(&rows.row)?;
        }
        Ok(is_whole)
    }
}

struct Rows {
    /// Whether the sandbox line, if it comes, is left out. It comes before all tables.
    may_skip_sandbox: bool,
    /// The row that is being read.
    row: Vec<u8>,
    /// Whether that row is too long to be kept, and is passed on as it comes.
    is_long: bool,
    /// The statement so far, without its end.
    statement: Vec<u8>,
    /// Bytes of it before its first row.
    head_len: usize,
}

impl Rows {
    fn receive(&mut self, event: Event, write: Write) -> io::Result<()> {
        match event {
            Event::Header => Ok(()),
            Event::Table(_) | Event::Footer => {
                self.may_skip_sandbox = false;
                Ok(())
            }
            Event::Text(text) => {
                self.end_statement(write)?;
                let is_sandbox = SANDBOX.iter().any(|start| text.starts_with(start));
                if is_sandbox && self.may_skip_sandbox { Ok(()) } else { write(text) }
            }
            Event::Row(piece) if self.is_long => write(piece),
            Event::Row(piece) => {
                self.row.extend_from_slice(piece);
                if self.row.len() <= STATEMENT_LEN_MAX_BYTES {
                    return Ok(());
                }
                self.is_long = true;
                self.end_statement(write)?;
                write(&std::mem::take(&mut self.row))
            }
            Event::RowEnd if self.is_long => {
                self.is_long = false;
                Ok(())
            }
            Event::RowEnd => self.join(write),
        }
    }

    /// Adds the row to the statement if it fits, or begins another statement.
    fn join(&mut self, write: Write) -> io::Result<()> {
        let head_len = head_len(&self.row);
        let Some(values) = head_len.and_then(|len| self.row[len..].strip_suffix(ROW_END)) else {
            self.end_statement(write)?;
            write(&self.row)?;
            self.row.clear();
            return Ok(());
        };
        let head = &self.row[..self.row.len() - values.len() - ROW_END.len()];
        let is_same = !self.statement.is_empty() && self.statement[..self.head_len] == *head;
        let has_room = self.statement.len() + 1 + values.len() < STATEMENT_LEN_MAX_BYTES;
        if is_same && has_room {
            self.statement.push(b',');
            self.statement.extend_from_slice(values);
        } else {
            let next = self.row[..self.row.len() - ROW_END.len()].to_vec();
            let next_head_len = head.len();
            self.end_statement(write)?;
            (self.statement, self.head_len) = (next, next_head_len);
        }
        self.row.clear();
        Ok(())
    }

    fn end_statement(&mut self, write: Write) -> io::Result<()> {
        if !self.statement.is_empty() {
            self.statement.extend_from_slice(ROW_END);
            write(&self.statement)?;
            self.statement.clear();
        }
        Ok(())
    }
}

/// Returns the length of a row before its values: names are quoted by backticks, and the word
/// `VALUES` is not.
fn head_len(row: &[u8]) -> Option<usize> {
    let mut is_in_name = false;
    for (at, byte) in row.iter().enumerate() {
        match byte {
            b'`' => is_in_name = !is_in_name,
            b'V' if !is_in_name => {
                return row[at..].starts_with(VALUES).then_some(at + VALUES.len());
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(dump: &str, piece_len: usize, has_sandbox: bool) -> (String, bool) {
        let (mut out, mut joiner) = (Vec::new(), Joiner::new(has_sandbox));
        let mut write = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            Ok(())
        };
        for piece in dump.as_bytes().chunks(piece_len) {
            joiner.push(piece, &mut write).unwrap();
        }
        let is_whole = joiner.finish(&mut write).unwrap();
        (String::from_utf8(out).unwrap(), is_whole)
    }

    const DUMP: &str = "\
/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump\n/*!40101 SET NAMES utf8mb4 */;\n
--\n-- Table structure for table `a`\n--\n\nCREATE TABLE `a` (\n  `V` int\n);\n
INSERT INTO `a` VALUES (1,'x;\\n');\nINSERT INTO `a` VALUES (2,');\\nINSERT INTO `a` VALUES (');
INSERT INTO `a` (`V`) VALUES (3);\nINSERT INTO `a` (`V`) VALUES (4);\nINSERT INTO `b` VALUES (5);
UNLOCK TABLES;\nDELIMITER ;;\nCREATE TRIGGER x BEGIN\nINSERT INTO `a` VALUES (1);
INSERT INTO `a` VALUES (2);\n/*M!999999\\- enable the sandbox mode */\nEND ;;\nDELIMITER ;
\n-- Dump completed\n";

    #[test]
    fn rows_of_one_table_are_joined_and_nothing_else_changes() {
        let expected = DUMP
            .replace(");\nINSERT INTO `a` VALUES (2,')", "),(2,')")
            .replace("(3);\nINSERT INTO `a` (`V`) VALUES (4)", "(3),(4)");
        for piece_len in [1, 2, 3, 7, 64, DUMP.len()] {
            assert_eq!(joined(DUMP, piece_len, true), (expected.clone(), true));
        }
        let first_line = expected.find("-- MariaDB").unwrap();
        assert_eq!(joined(DUMP, 5, false).0, expected[first_line..]);
    }

    #[test]
    fn every_prefix_of_a_dump_is_loaded_as_far_as_it_goes_and_said_not_to_be_whole() {
        for len in 0..DUMP.len() {
            let (out, is_whole) = joined(&DUMP[..len], 9, true);
            assert!(!is_whole, "{len}");
            assert!(out.len() <= len);
        }
    }

    #[test]
    fn statements_have_at_most_one_mebibyte_unless_a_row_is_longer() {
        let row = |len: usize| format!("INSERT INTO `a` VALUES ('{}');\n", "x".repeat(len));
        let long = row(3 << 20);
        let dump = [row(400 << 10), row(400 << 10), row(400 << 10), long.clone(), row(1)].concat();
        let (out, _) = joined(&dump, 100_000, true);
        let lens: Vec<usize> = out.lines().map(str::len).collect();
        assert_eq!(lens.len(), 4, "two and one, the long one, the last one");
        assert!(lens[0] > 800 << 10 && lens[0] <= STATEMENT_LEN_MAX_BYTES && lens[1] < 500 << 10);
        assert_eq!(lens[2] + 1, long.len());
    }
}
