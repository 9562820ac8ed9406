//! The word list of SLIP-39: 1,024 words that their first four letters tell apart.

use std::sync::LazyLock;

/// The words in their order, which is the alphabet's.
static WORDS: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!("../../../format-spec/words-shares.txt").lines().collect());

/// Letters by which a word is known.
const LETTERS: usize = 4;

/// Returns the word of a number below 1,024.
pub(super) fn word(number: u16) -> &'static str {
    WORDS[usize::from(number)]
}

/// Returns the number of a word in lower case, or of its beginning of four letters or more.
pub(super) fn number_of(word: &str) -> Option<u16> {
    let at = WORDS.partition_point(|listed| *listed < word);
    let listed = WORDS.get(at).filter(|listed| word.len() >= LETTERS && listed.starts_with(word));
    listed.map(|_| u16::try_from(at).expect("there are 1,024 words"))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_list_is_the_standards() {
        let digest = Sha256::digest(include_bytes!("../../../format-spec/words-shares.txt"));
        // Of `slip-0039/wordlist.txt` in the standard.
        assert_eq!(
            crate::id::encode_hex(&digest),
            "bcc4555340332d169718aed8bf31dd9d5248cb7da6e5d355140ef4f1e601eec3"
        );
        assert_eq!(WORDS.len(), 1024);
        assert!(WORDS.is_sorted());
    }

    #[test]
    fn four_letters_are_enough_and_three_are_not() {
        for number in 0..1024 {
            let whole = word(number);
            assert!((LETTERS..=whole.len()).all(|len| number_of(&whole[..len]) == Some(number)));
            assert_eq!(number_of(&whole[..3]), None);
            assert_eq!(number_of(&format!("{whole}s")), None);
        }
        assert_eq!(number_of(""), None);
        assert_eq!(number_of("zzzz"), None);
    }
}
