//! Scanner of dumps of Subversion.
//!
//! `svnadmin dump` writes no trailer: a dump that was cut looks like a dump. But it is a sequence
//! of records with lengths, and each revision has one, so a complete dump of a range has exactly
//! the revisions of the range, and ends after a record. Content is skipped by its length: it may
//! look like anything.

use std::ops::RangeInclusive;

/// Bytes of a header line that are looked at; paths may be longer.
const LINE_KEPT_BYTES: usize = 128;
const VERSION: &[u8] = b"SVN-fs-dump-format-version: ";
const REVISION: &[u8] = b"Revision-number: ";
const LENGTHS: [&[u8]; 3] =
    [b"Content-length: ", b"Prop-content-length: ", b"Text-content-length: "];

/// A scanner of the dump of some revisions.
pub(super) struct DumpScanner {
    revisions: RangeInclusive<u64>,
    /// The revision that must come next.
    next: u64,
    /// Whether the first line was seen.
    is_begun: bool,
    /// Beginning of the current header line.
    line: Vec<u8>,
    /// Lengths that the current header tells, in the order of [`LENGTHS`].
    lengths: [Option<u64>; 3],
    is_in_header: bool,
    /// Bytes of content to skip.
    content_bytes: u64,
}

impl DumpScanner {
    /// Makes a scanner of the dump of these revisions.
    pub(super) fn new(revisions: RangeInclusive<u64>) -> Self {
        Self {
            next: *revisions.start(),
            revisions,
            is_begun: false,
            line: Vec::new(),
            lengths: [None; 3],
            is_in_header: false,
            content_bytes: 0,
        }
    }

    /// Looks at the next bytes of the dump, in pieces of any length.
    pub(super) fn look(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            if self.content_bytes > 0 {
                let len =
                    bytes.len().min(usize::try_from(self.content_bytes).unwrap_or(usize::MAX));
                self.content_bytes -= len as u64;
                bytes = &bytes[len..];
                continue;
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let room = LINE_KEPT_BYTES - self.line.len();
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            let Some(end) = end else { return Ok(()) };
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.line);
            self.look_at_line(&line)?;
        }
        Ok(())
    }

    /// Fails if revisions are missing, or the last record is not complete.
    pub(super) fn finish(&self) -> Result<(), String> {
        let (next, last) = (self.next, *self.revisions.end());
        if next <= last {
            return Err(format!("the dump ends before revision {next}, not after {last}"));
        }
        match self.content_bytes > 0 || self.is_in_header || !self.line.is_empty() {
            true => Err(format!("the dump ends within a record of revision {last}")),
            false => Ok(()),
        }
    }

    fn look_at_line(&mut self, line: &[u8]) -> Result<(), String> {
        if !self.is_begun {
            self.is_begun = line.starts_with(VERSION);
            return if self.is_begun { Ok(()) } else { Err("this is no dump".to_owned()) };
        }
        if line.is_empty() {
            self.end_header();
            return Ok(());
        }
        self.is_in_header = true;
        if let Some(revision) = line.strip_prefix(REVISION) {
            self.see_revision(number(revision)?)?;
        }
        for (name, length) in LENGTHS.iter().zip(&mut self.lengths) {
            if let Some(value) = line.strip_prefix(*name) {
                *length = Some(number(value)?);
            }
        }
        Ok(())
    }

    /// Empty lines between records are no headers.
    fn end_header(&mut self) {
        let [all, properties, text] = std::mem::take(&mut self.lengths);
        let parts = properties.unwrap_or(0).saturating_add(text.unwrap_or(0));
        self.content_bytes = all.unwrap_or(parts);
        self.is_in_header = false;
    }

    fn see_revision(&mut self, revision: u64) -> Result<(), String> {
        if revision != self.next || revision > *self.revisions.end() {
            return Err(format!("revision {revision} came in place of {}", self.next));
        }
        self.next += 1;
        Ok(())
    }
}

fn number(digits: &[u8]) -> Result<u64, String> {
    let text = std::str::from_utf8(digits).ok();
    text.and_then(|text| text.trim_end().parse().ok())
        .ok_or_else(|| format!("`{}` is no number", crate::text::printable(digits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two revisions; the content of the first looks like records.
    fn dump() -> Vec<u8> {
        let text = "\n\nRevision-number: 9\nContent-length: 99999\n\nabc\n";
        let props = "K 7\nsvn:log\nV 5\nfirst\nPROPS-END\n";
        let mut dump = "SVN-fs-dump-format-version: 2\n\nUUID: 1-2\n\n".to_owned();
        for revision in [7, 8] {
            let (p, t) = (props.len(), text.len());
            dump += &format!(
                "Revision-number: {revision}\nProp-content-length: {p}\nContent-length: {p}\n\n\
                 {props}\n"
            );
            dump += &format!(
                "Node-path: {}\nNode-kind: file\nNode-action: add\nText-content-length: {t}\n\
                 Text-content-md5: 0123\nContent-length: {t}\n\n{text}\n\n",
                "long/".repeat(100)
            );
            dump += "Node-path: gone\nNode-action: delete\n\n\n";
        }
        dump.into_bytes()
    }

    fn scan(bytes: &[u8], piece: usize) -> Result<(), String> {
        let mut scanner = DumpScanner::new(7..=8);
        bytes.chunks(piece).try_for_each(|piece| scanner.look(piece))?;
        scanner.finish()
    }

    #[test]
    fn pieces_of_any_length_are_one_dump() {
        for piece in [1, 2, 3, 7, 64, 100_000] {
            assert_eq!(scan(&dump(), piece), Ok(()), "{piece}");
        }
    }

    #[test]
    fn a_cut_is_seen_wherever_a_record_of_the_last_revision_is_not_complete() {
        let whole = dump();
        let last = whole.windows(18).rposition(|w| w == b"Revision-number: 8").unwrap();
        let mut complete = Vec::new();
        for len in 0..whole.len() {
            let cut = scan(&whole[..len], 64);
            assert!(len > last || cut.is_err(), "{len}");
            complete.extend(cut.is_ok().then_some(len));
        }
        // Only between two records can a cut not be seen; the exit status tells those.
        assert!(complete.len() < 16, "{complete:?}");
        assert!(scan(&whole[..last], 64).unwrap_err().contains("before revision 8"));
        assert!(scan(&whole[..last + 30], 64).unwrap_err().contains("within a record"));
    }

    #[test]
    fn other_revisions_and_other_bytes_are_refused() {
        let whole = String::from_utf8(dump()).unwrap();
        let other = whole.replace("Revision-number: 7\nProp", "Revision-number: 6\nProp");
        assert!(scan(other.as_bytes(), 64).unwrap_err().contains("6 came in place of 7"));
        let more = [whole.as_bytes(), b"Revision-number: 9\n\n"].concat();
        assert!(scan(&more, 64).unwrap_err().contains("9 came"));
        let twice = whole.replace("Revision-number: 8\nProp", "Revision-number: 7\nProp");
        assert!(scan(twice.as_bytes(), 64).is_err());
        assert!(scan(b"hello\n", 64).unwrap_err().contains("no dump"));
        assert!(scan(b"", 64).is_err());
        let wrong = whole.replacen("Content-length: ", "Content-length: -", 1);
        assert!(scan(wrong.as_bytes(), 64).unwrap_err().contains("no number"));
        let huge = format!("SVN-fs-dump-format-version: 3\n\nContent-length: {}\n\n", u64::MAX);
        assert!(scan(huge.as_bytes(), 64).is_err());
    }
}
