//! Key files and recovery kits: 32 random bytes as 24 words with a checksum (BIP 39, English).
//!
//! Both have the same form, so that a typed-in kit is a key file.
//!
//! Spec: `format-spec/10-keys.md`.

use bip39::{Language, Mnemonic};
use zeroize::Zeroizing;

use super::kdf::Key;

/// Why a key file's text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// There are not exactly 24 words after the comments.
    #[error("expected 24 words, found {0}")]
    WordCount(usize),
    /// A word is not in the list.
    #[error("word {0} is not in the word list")]
    UnknownWord(usize),
    /// All words are in the list, but the checksum is wrong.
    #[error("the checksum does not fit: a word is wrong or two are swapped")]
    Checksum,
}

/// Returns the 24 words of a secret, in lines of six.
pub fn words_of(secret: &Key) -> Zeroizing<String> {
    let mnemonic =
        Mnemonic::from_entropy_in(Language::English, &**secret).expect("32 bytes make 24 words");
    // The text never grows beyond its capacity, so that no copy of a part stays in memory: the
    // longest word has eight letters.
    let mut words = Zeroizing::new(String::with_capacity(24 * 9));
    for (at, word) in mnemonic.words().enumerate() {
        match at {
            0 => {}
            at if at % 6 == 0 => words.push('\n'),
            _ => words.push(' '),
        }
        words.push_str(word);
    }
    words
}

/// Parses the words of a key file or kit.
///
/// Lines that begin with `#` are comments; if there is a line `--- words ---`, only what is
/// between it and the next line of dashes counts, so that a whole recovery kit can be given.
pub fn secret_of_words(text: &str) -> Result<Key, PhraseError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let inside = match text.split_once(WORDS_BEGIN) {
        Some((_, rest)) => rest.split_once(WORDS_END).map_or(rest, |(words, _)| words),
        None => text,
    };
    let words: Vec<Zeroizing<String>> = inside
        .split('\n')
        .filter(|line| !line.trim_ascii_start().starts_with('#'))
        .flat_map(str::split_ascii_whitespace)
        .map(|word| Zeroizing::new(word.trim_end_matches(['.', ',']).to_ascii_lowercase()))
        .filter(|word| !word.bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    if words.len() != 24 {
        return Err(PhraseError::WordCount(words.len()));
    }
    if let Some(at) = words.iter().position(|word| Language::English.find_word(word).is_none()) {
        return Err(PhraseError::UnknownWord(at + 1));
    }
    let mut phrase = Zeroizing::new(String::with_capacity(24 * 9));
    for word in &words {
        phrase.push_str(word);
        phrase.push(' ');
    }
    let mnemonic = Mnemonic::parse_in_normalized(Language::English, phrase.trim_end())
        .map_err(|_| PhraseError::Checksum)?;
    let entropy = Zeroizing::new(mnemonic.to_entropy());
    let mut secret = Zeroizing::new([0; 32]);
    secret.copy_from_slice(&entropy);
    Ok(secret)
}

/// The line before the words of a recovery kit.
pub const WORDS_BEGIN: &str = "--- words ---";
/// The line after the words of a recovery kit.
pub const WORDS_END: &str = "--- end of words ---";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_and_mistakes_are_named() {
        let secret = Zeroizing::new([7; 32]);
        let words = words_of(&secret);
        assert_eq!(secret_of_words(&words).unwrap(), secret);
        let kit = format!(
            "Dear heirs, do this.\n{WORDS_BEGIN}\n{}\n{WORDS_END}\nmore text",
            words.to_uppercase()
        );
        assert_eq!(secret_of_words(&kit).unwrap(), secret);
        assert_eq!(secret_of_words("abandon"), Err(PhraseError::WordCount(1)));
        let mut swapped: Vec<&str> = words.split_whitespace().collect();
        swapped[3] = "notaword";
        assert_eq!(secret_of_words(&swapped.join(" ")), Err(PhraseError::UnknownWord(4)));
        swapped[3] = if swapped[3] == "zoo" { "abandon" } else { "zoo" };
        assert_eq!(secret_of_words(&swapped.join(" ")), Err(PhraseError::Checksum));
    }
}
