//! Quotes in the SQL of a dump.
//!
//! A line of a dump means something only outside quotes: a function's body or a comment may hold
//! any line. Strings need no more than their quotes, because `pg_dump` and the server double each
//! quote in a string and never write `\'`. Comments of the form `/* */` are not written by them.

use memchr::memchr;

/// Most bytes of the mark of a dollar quote; identifiers have at most 63.
const TAG_LEN_MAX_BYTES: usize = 128;

#[derive(Debug, Default, PartialEq)]
enum State {
    #[default]
    Plain,
    /// In a string or a name that ends with this byte.
    Quoted(u8),
    /// After a dollar that may begin a quote; its mark so far is in `tag`.
    Tag,
    /// In a dollar quote of whose end so many bytes were seen.
    Dollar(usize),
    /// In a comment, up to the end of the line.
    Comment,
}

/// Where in the quotes of SQL a text is that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Quotes {
    state: State,
    /// The byte before.
    last: u8,
    /// Mark of the dollar quote, with its dollars.
    tag: Vec<u8>,
}

impl Quotes {
    /// Passes over `input` up to the first `end` outside quotes; returns the length with it, or
    /// `None` if all of the input was passed over.
    pub(super) fn until(&mut self, input: &[u8], end: u8) -> Option<usize> {
        let mut at = 0;
        while at < input.len() {
            let skipped = match self.state {
                State::Quoted(quote) => memchr(quote, &input[at..]),
                State::Dollar(0) => memchr(b'$', &input[at..]),
                State::Comment => memchr(b'\n', &input[at..]),
                _ => Some(0),
            };
            at += skipped?;
            let byte = input[at];
            at += 1;
            if self.step(byte) && byte == end {
                return Some(at);
            }
        }
        None
    }

    /// Enters a comment that ends with its line.
    pub(super) fn begin_comment(&mut self) {
        self.state = State::Comment;
    }

    /// Takes a byte; returns whether it is outside quotes.
    fn step(&mut self, byte: u8) -> bool {
        self.state = match std::mem::take(&mut self.state) {
            State::Quoted(quote) if byte != quote => State::Quoted(quote),
            State::Quoted(_) => State::Plain,
            State::Dollar(seen) => self.in_dollars(seen, byte),
            State::Comment if byte != b'\n' => State::Comment,
            State::Tag if byte == b'$' => {
                self.tag.push(byte);
                State::Dollar(0)
            }
            State::Tag if self.may_be_in_tag(byte) => {
                self.tag.push(byte);
                State::Tag
            }
            State::Plain | State::Tag | State::Comment => {
                let state = self.in_plain(byte);
                self.last = byte;
                let is_plain = state == State::Plain;
                self.state = state;
                return is_plain;
            }
        };
        self.last = byte;
        false
    }

    fn in_plain(&mut self, byte: u8) -> State {
        match byte {
            b'\'' | b'"' => State::Quoted(byte),
            b'-' if self.last == b'-' => State::Comment,
            b'$' if !is_word(self.last) => {
                self.tag.clear();
                self.tag.push(byte);
                State::Tag
            }
            _ => State::Plain,
        }
    }

    /// The mark has a dollar at its two ends only, so a mismatch begins anew or at this byte.
    fn in_dollars(&self, seen: usize, byte: u8) -> State {
        match byte == self.tag[seen] {
            true if seen + 1 == self.tag.len() => State::Plain,
            true => State::Dollar(seen + 1),
            false => State::Dollar(usize::from(byte == b'$')),
        }
    }

    fn may_be_in_tag(&self, byte: u8) -> bool {
        let is_first = self.tag.len() == 1;
        is_word(byte)
            && byte != b'$'
            && !(is_first && byte.is_ascii_digit())
            && self.tag.len() < TAG_LEN_MAX_BYTES
    }
}

/// Returns whether a byte may be part of a name without quotes.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the text up to the first `end` outside quotes, however it is cut into pieces.
    fn until(text: &str, end: u8) -> Option<&str> {
        let whole = Quotes::default().until(text.as_bytes(), end);
        for cut in 0..=text.len() {
            let mut quotes = Quotes::default();
            let (first, second) = text.as_bytes().split_at(cut);
            let found = quotes
                .until(first, end)
                .or_else(|| quotes.until(second, end).map(|len| len + first.len()));
            assert_eq!(found, whole, "cut at {cut}");
        }
        whole.map(|len| &text[..len])
    }

    #[test]
    fn ends_count_outside_quotes_only() {
        for (text, expected) in [
            ("a;b", Some("a;")),
            ("'a;';", Some("'a;';")),
            ("'it''s;';", Some("'it''s;';")),
            ("'a\\';", Some("'a\\';")),
            ("\"a;\"\"b;\";", Some("\"a;\"\"b;\";")),
            ("$$a;'b$$;", Some("$$a;'b$$;")),
            ("$_$a;$$;$_ $_$;", Some("$_$a;$$;$_ $_$;")),
            ("$a$;$$a$;", Some("$a$;$$a$;")),
            ("$1;", Some("$1;")),
            ("$1';'$2;", Some("$1';'$2;")),
            ("$a';';", Some("$a';';")),
            ("x$a$;", Some("x$a$;")),
            ("é$a$;", Some("é$a$;")),
            ("-- it's;\n;", Some("-- it's;\n;")),
            ("1 - -1;", Some("1 - -1;")),
            ("'a", None),
            ("$a$ ; $b$", None),
        ] {
            assert_eq!(until(text, b';'), expected, "{text}");
        }
        assert_eq!(until("a -- 'b\nc", b'\n'), Some("a -- 'b\n"));
        assert_eq!(until("'a\nb'\n", b'\n'), Some("'a\nb'\n"));
    }

    #[test]
    fn endless_marks_are_no_quotes() {
        let text = format!("${}$;", "a".repeat(10_000));
        assert_eq!(until_whole(&text), Some(text.len()));
    }

    fn until_whole(text: &str) -> Option<usize> {
        let mut quotes = Quotes::default();
        let found = quotes.until(text.as_bytes(), b';');
        assert!(quotes.tag.len() <= TAG_LEN_MAX_BYTES);
        found
    }
}
