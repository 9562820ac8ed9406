//! Ends of SQL statements.
//!
//! A body of a trigger, a name of a column or a comment may hold any line. So whether a line of a
//! dump is between two statements is decided as the client decides it that will load the dump: by
//! quotes, comments and the delimiter.

/// Place in a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Code,
    /// After `/`, which may begin a comment.
    Slash,
    /// After `/*`: with `!`, or `M!`, it is code for the server.
    SlashStar,
    SlashStarM,
    Comment,
    CommentStar,
    /// After `-`, which may begin a comment to the end of the line.
    Dash,
    DashDash,
    LineComment,
    /// Within this quote.
    Quoted(u8),
    /// After a backslash within this quote.
    Escaped(u8),
}

/// Finds the ends of statements, byte by byte.
pub(super) struct Lexer {
    state: State,
    delimiter: Vec<u8>,
    /// Bytes of the delimiter that were just read.
    matched: usize,
    /// Whether a statement has begun and not ended.
    is_open: bool,
    /// Whether a backslash within quotes is an ordinary byte (`NO_BACKSLASH_ESCAPES`).
    has_plain_backslashes: bool,
}

impl Lexer {
    pub(super) fn new() -> Self {
        Self {
            state: State::Code,
            delimiter: b";".to_vec(),
            matched: 0,
            is_open: false,
            has_plain_backslashes: false,
        }
    }

    /// Returns whether all statements have ended.
    pub(super) fn is_between(&self) -> bool {
        !self.is_open && self.state == State::Code
    }

    /// Sets what ends statements from now on. Nothing never does.
    pub(super) fn set_delimiter(&mut self, delimiter: &[u8]) {
        self.delimiter = delimiter.to_vec();
    }

    /// Sets whether a backslash within quotes is an ordinary byte from now on.
    pub(super) fn set_plain_backslashes(&mut self, has_plain_backslashes: bool) {
        self.has_plain_backslashes = has_plain_backslashes;
    }

    /// Reads a byte.
    pub(super) fn push(&mut self, byte: u8) {
        let was = std::mem::replace(&mut self.state, State::Code);
        self.state = match (was, byte) {
            (State::Slash, b'*') => State::SlashStar,
            (State::SlashStar, b'M') => State::SlashStarM,
            (State::SlashStar | State::SlashStarM, b'!') => {
                self.is_open = true;
                State::Code
            }
            (State::SlashStar | State::SlashStarM | State::Comment | State::CommentStar, b'*') => {
                State::CommentStar
            }
            (State::CommentStar, b'/') => State::Code,
            (State::SlashStar | State::SlashStarM | State::Comment | State::CommentStar, _) => {
                State::Comment
            }
            (State::Dash, b'-') => State::DashDash,
            (State::DashDash | State::LineComment, b'\n') => State::Code,
            (State::DashDash, 0..=b' ') | (State::LineComment, _) => State::LineComment,
            (State::Escaped(quote), _) => State::Quoted(quote),
            (State::Quoted(quote), _) if byte == quote => State::Code,
            (State::Quoted(quote @ (b'\'' | b'"')), b'\\') if !self.has_plain_backslashes => {
                State::Escaped(quote)
            }
            (State::Quoted(quote), _) => State::Quoted(quote),
            (State::Slash | State::Dash | State::DashDash, _) => {
                // What may have begun a comment was code.
                self.is_open = true;
                self.code(byte)
            }
            (State::Code, _) => self.code(byte),
        };
    }

    fn code(&mut self, byte: u8) -> State {
        if self.ends_delimiter(byte) {
            self.is_open = false;
            return State::Code;
        }
        match byte {
            b'/' => State::Slash,
            b'-' => State::Dash,
            b'#' => State::LineComment,
            b' ' | b'\t' | b'\r' | b'\n' => State::Code,
            _ => {
                self.is_open = true;
                if matches!(byte, b'\'' | b'"' | b'`') { State::Quoted(byte) } else { State::Code }
            }
        }
    }

    fn ends_delimiter(&mut self, byte: u8) -> bool {
        if self.delimiter.get(self.matched) == Some(&byte) {
            self.matched += 1;
        } else {
            self.matched = usize::from(self.delimiter.first() == Some(&byte));
        }
        let is_whole = self.matched > 0 && self.matched == self.delimiter.len();
        if is_whole {
            self.matched = 0;
        }
        is_whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the offset after each end of a statement.
    fn ends(text: &str, prepare: impl Fn(&mut Lexer)) -> Vec<usize> {
        let mut lexer = Lexer::new();
        prepare(&mut lexer);
        let (mut ends, mut was_open) = (Vec::new(), false);
        for (at, byte) in text.bytes().enumerate() {
            lexer.push(byte);
            if was_open && !lexer.is_open {
                ends.push(at + 1);
            }
            was_open = lexer.is_open;
        }
        ends
    }

    fn count(text: &str) -> usize {
        let found = ends(text, |_| ());
        assert_eq!(found.last().copied().unwrap_or(0), text.trim_end().len(), "{text}");
        found.len()
    }

    #[test]
    fn a_delimiter_counts_in_code_only() {
        for text in [
            "a;",
            "a ';' \";\" `;` ;",
            "a 'it''s ; \\' ;' ;",
            "a `b\\`;",
            "a \"\\\\\";",
            "a -- ;'\n;",
            "a --\n;",
            "a # ;'\n;",
            "a /* ; ' */ ;",
            "a /** ; **/;",
            "a /*M; */;",
            "/*!50003 a ';' */;",
            "/*M!100000 a ';' */;",
            "a 1/2 - 3 --4;",
        ] {
            assert_eq!(count(text), 1, "{text}");
            assert_eq!(count(&format!("{text}\nb;")), 2, "{text}");
        }
    }

    #[test]
    fn other_delimiters_are_found() {
        let body = "CREATE x BEGIN a; ';;' b; END ;;\n";
        assert_eq!(ends(body, |lexer| lexer.set_delimiter(b";;")), [body.len() - 1]);
        assert_eq!(ends("a;b;;c", |lexer| lexer.set_delimiter(b";;")), [5]);
        assert_eq!(ends("a;b", |lexer| lexer.set_delimiter(b"")), [0usize; 0]);
    }

    #[test]
    fn plain_backslashes_end_nothing_and_escape_nothing() {
        let text = "a '\\';b";
        assert_eq!(ends(text, |lexer| lexer.set_plain_backslashes(true)), [text.len() - 1]);
        assert_eq!(ends(text, |_| ()), [0usize; 0]);
    }

    #[test]
    fn comments_and_space_open_no_statement() {
        for text in ["", "\n \t\r\n", "-- a\n", "--\n", "# a\n", "/* a */ \n", "/**/"] {
            let mut lexer = Lexer::new();
            text.bytes().for_each(|byte| lexer.push(byte));
            assert!(lexer.is_between(), "{text}");
        }
        for text in ["a", "/*!", "/* a", "-- a", "'", "--1"] {
            let mut lexer = Lexer::new();
            text.bytes().for_each(|byte| lexer.push(byte));
            assert!(!lexer.is_between(), "{text}");
        }
    }
}
