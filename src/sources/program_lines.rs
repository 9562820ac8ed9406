//! Lines that a program writes to standard error, for the monitor.

use std::sync::Arc;

use crate::monitor::Monitor;

/// Longest line; one that is longer is passed on in pieces.
const LINE_LEN_MAX_BYTES: usize = 4 << 10;

/// A program's standard error, cut into lines. The last one ends when this is dropped.
pub(super) struct ProgramLines {
    program: String,
    monitor: Arc<Monitor>,
    begun: Vec<u8>,
}

impl ProgramLines {
    /// Begins the lines of a program. Of a path only the file's name is shown.
    pub(super) fn of(program: &str, monitor: &Arc<Monitor>) -> Self {
        let name = program.rsplit('/').next().unwrap_or(program);
        Self { program: name.to_owned(), monitor: Arc::clone(monitor), begun: Vec::new() }
    }

    /// Adds bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.begun.len() >= LINE_LEN_MAX_BYTES {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = self.begun.trim_ascii_end();
        if !line.is_empty() {
            self.monitor.program_said(&self.program, &String::from_utf8_lossy(line));
        }
        self.begun.clear();
    }
}

impl Drop for ProgramLines {
    fn drop(&mut self) {
        self.end_line();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn bytes_become_lines_whatever_the_pieces() {
        let said = Arc::<Mutex<Vec<String>>>::default();
        let monitor = Arc::new(Monitor::default());
        let heard = Arc::clone(&said);
        monitor.hear_programs(move |program, line| {
            heard.lock().unwrap().push(format!("{program}|{line}"));
        });
        let mut lines = ProgramLines::of("/usr/bin/pg_dump", &monitor);
        [&b"a"[..], b"b\r\n\nc\n\xff", b"d"].into_iter().for_each(|piece| lines.push(piece));
        lines.push(&[b'x'; LINE_LEN_MAX_BYTES]);
        lines.push(b"end");
        drop(lines);
        let said = said.lock().unwrap();
        assert_eq!(said[..2], ["pg_dump|ab", "pg_dump|c"]);
        assert_eq!((said.len(), &said[3][..]), (4, "pg_dump|end"));
        assert!(said[2].starts_with("pg_dump|\u{fffd}dxx"));
    }
}
