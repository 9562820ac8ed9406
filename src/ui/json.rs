//! JSON that is safe to print on a terminal: control characters are escaped (`\u009b`), which JSON
//! readers decode to the same strings.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use crate::text::is_loud;

/// Writes a document in several lines.
pub fn write_pretty(out: &mut impl Write, document: &impl Serialize) -> io::Result<()> {
    Ok(document.serialize(&mut serde_json::Serializer::with_formatter(
        out,
        Harmless(PrettyFormatter::new()),
    ))?)
}

/// Writes a document in one line, without its end.
pub fn write(out: &mut impl Write, document: &impl Serialize) -> io::Result<()> {
    Ok(document
        .serialize(&mut serde_json::Serializer::with_formatter(out, Harmless(CompactFormatter)))?)
}

/// Returns a document in one line.
pub fn line(document: &impl Serialize) -> String {
    let mut out = Vec::new();
    // It fails only for maps whose keys are no strings.
    let _ = write(&mut out, document);
    String::from_utf8_lossy(&out).into_owned()
}

/// A formatter that also escapes characters that terminals interpret.
struct Harmless<F>(F);

impl<F: Formatter> Formatter for Harmless<F> {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_loud(*c)) {
            out.write_all(&rest.as_bytes()[..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_array(out)
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array(out)
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        is_first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(out, is_first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array_value(out)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object(out)
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object(out)
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        is_first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(out, is_first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object_value(out)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_value(out)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn terminals_see_nothing_but_letters_and_readers_get_the_same() {
        let loud = "a\u{9b}b\u{7f}\u{202e}\u{feff}\u{e0041}\u{1b}[2J";
        let document =
            json!({ "n\u{85}": [loud, { "k": "gr\u{fc}n\u{4e2d}" }], "empty": [], "none": {} });
        let mut pretty = Vec::new();
        write_pretty(&mut pretty, &document).unwrap();
        let (pretty, line) = (String::from_utf8(pretty).unwrap(), line(&document));
        for text in [&pretty, &line] {
            assert!(
                text.chars().all(|c| c == '\n' || !is_loud(c))
                    && text.contains("gr\u{fc}n\u{4e2d}"),
                "{text}"
            );
            assert_eq!(serde_json::from_str::<serde_json::Value>(text).unwrap(), document);
        }
        assert!(line.contains("a\\u009bb\\u007f\\u202e\\ufeff\\udb40\\udc41"), "{line}");
        // But for that it is as it always was.
        let quiet = json!({ "a": [1, true, null, "x\"\\\n"], "b": { "c": 1.5 }, "d": [], "e": {} });
        let mut pretty = Vec::new();
        write_pretty(&mut pretty, &quiet).unwrap();
        assert_eq!(
            String::from_utf8(pretty).unwrap(),
            serde_json::to_string_pretty(&quiet).unwrap()
        );
        assert_eq!(super::line(&quiet), quiet.to_string());
    }
}
