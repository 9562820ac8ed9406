//! Shares in a text: pages as they were printed, or words as they were typed.

use zeroize::Zeroizing;

use super::share::{SHARE_WORDS, Share, ShareError};

/// The line before the words of a share.
pub const SHARE_BEGIN: &str = "--- share ---";
/// The line after the words of a share.
pub const SHARE_END: &str = "--- end of share ---";

type Words = Vec<Zeroizing<String>>;

/// Returns the words of a share, in eleven numbered lines of three.
pub fn numbered_words(share: &Share) -> Zeroizing<String> {
    let words = share.words();
    // The text never grows beyond its capacity, so that no copy of a part stays in memory.
    let mut out = Zeroizing::new(String::with_capacity(words.len() * 18));
    for (at, word) in words.iter().enumerate() {
        let number = format!("{:>4}. ", at + 1);
        out.push_str(&number);
        out.push_str(word);
        if at % 3 == 2 || at + 1 == words.len() {
            out.push('\n');
        } else {
            (word.len()..10).for_each(|_| out.push(' '));
        }
    }
    out
}

/// Returns the shares in a text, in its order, or what is wrong with each.
///
/// Spec: `format-spec/10-keys.md`, section 6.
pub fn shares_in(text: &str) -> Vec<Result<Share, ShareError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let marked = marked_sections(text);
    let sections = if marked.is_empty() { typed_sections(text) } else { marked };
    sections.iter().map(|words| Share::parse(words)).collect()
}

/// Returns the words of each section between lines of dashes, of which the last may lack its end.
fn marked_sections(text: &str) -> Vec<Words> {
    let mut sections: Vec<Words> = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        match marker(line).as_deref() {
            Some("share") => {
                is_inside = true;
                sections.push(Words::new());
            }
            Some(_) => is_inside = false,
            None if is_inside => {
                sections.last_mut().expect("it has begun").extend(words_of(line));
            }
            None => {}
        }
    }
    sections
}

/// Returns the words between dashes at both ends of a line, in lower case.
fn marker(line: &str) -> Option<String> {
    let is_dash = |c: char| matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}');
    let line = line.trim();
    let inner = line.strip_prefix(is_dash)?.strip_suffix(is_dash)?;
    Some(inner.trim_matches(is_dash).trim().to_ascii_lowercase())
}

/// Returns the words of each share of a text without marks: 33 each if that comes out even, else
/// what empty lines part, else all of them.
fn typed_sections(text: &str) -> Vec<Words> {
    let mut paragraphs = vec![Words::new()];
    for line in text.lines() {
        if line.trim().is_empty() {
            paragraphs.push(Words::new());
        }
        paragraphs.last_mut().expect("there is one").extend(words_of(line));
    }
    paragraphs.retain(|words| !words.is_empty());
    let count: usize = paragraphs.iter().map(Vec::len).sum();
    if count.is_multiple_of(SHARE_WORDS) || count < SHARE_WORDS * 3 / 2 {
        let mut words = paragraphs.into_iter().flatten().peekable();
        let mut sections = Vec::new();
        while words.peek().is_some() {
            let len = if count < SHARE_WORDS * 3 / 2 { count } else { SHARE_WORDS };
            sections.push(words.by_ref().take(len).collect());
        }
        return sections;
    }
    paragraphs
}

/// Returns the words of a line without numbers and punctuation; none of a comment.
fn words_of(line: &str) -> impl Iterator<Item = Zeroizing<String>> {
    let line = if line.trim_start().starts_with('#') { "" } else { line };
    line.split_whitespace()
        .map(|piece| piece.trim_matches(|c: char| !c.is_alphabetic()))
        .filter(|piece| !piece.is_empty())
        .map(|piece| Zeroizing::new(piece.to_lowercase()))
}
