//! One share: its parameters, its value, and its words.

use std::fmt;

use zeroize::Zeroizing;

use super::checksum::{
    CHECKSUM_WORDS, checksum, fits, place_of_swapped_neighbours, places_of_one_wrong_word,
};
use super::words;

/// Number of words of a share of 32 bytes, such as Drumlin writes.
pub const SHARE_WORDS: usize = 33;

/// Words before the value.
const PARAMETER_WORDS: usize = 4;
/// Least number of words, for 16 bytes.
const WORDS_MIN: usize = 20;

/// Parameters that all shares of a set have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetParameters {
    /// Number of the set, random, of 15 bits.
    pub id: u16,
    /// Whether the secret is encrypted in the same way in all sets.
    pub is_extendable: bool,
    /// Binary logarithm of what the cipher costs, 0 to 15.
    pub cost_exponent: u8,
    /// Number of groups that are needed, 1 to 16.
    pub group_threshold: u8,
    /// Number of groups, 1 to 16.
    pub group_count: u8,
}

/// A share.
#[derive(Clone, PartialEq, Eq)]
pub struct Share {
    /// Parameters of its set.
    pub set: SetParameters,
    /// Number of its group, from 0.
    pub group: u8,
    /// Number of shares of its group that are needed, 1 to 16.
    pub threshold: u8,
    /// Its number in the group, from 0: the argument of the polynomials.
    pub index: u8,
    /// Values of the polynomials, which are secret.
    pub value: Zeroizing<Vec<u8>>,
}

/// Why words are no share. Words are named by their numbers, from 1, and never shown: they are
/// secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// There are too few or too many words.
    #[error("{0} words, where a share has {SHARE_WORDS}")]
    WordCount(usize),
    /// Words that are not in the list.
    #[error("{} not in the word list", named(.0, "and", "is", "are"))]
    UnknownWords(Vec<usize>),
    /// Most words are not in the list: it is another text.
    #[error("most of its words are not in the word list")]
    Foreign,
    /// One word is wrong; if more than one is named, one of them.
    #[error("{} wrong", named(.0, "or", "is", "is"))]
    WrongWord(Vec<usize>),
    /// This word and the next one are swapped.
    #[error("words {} and {} are swapped", .0, .0 + 1)]
    Swapped(usize),
    /// The checksum does not fit, and not for one word alone.
    #[error("more than one word is wrong: the checksum does not fit")]
    Checksum,
    /// The words are a share by no program: the checksum fits.
    #[error("its words have the right checksum, and no meaning")]
    Meaningless,
}

/// Returns `word 3 is`, `words 3 and 4 are`.
fn named(places: &[usize], conjunction: &str, one: &str, several: &str) -> String {
    match places {
        [] => "no word is".to_owned(),
        [place] => format!("word {place} {one}"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(usize::to_string).collect();
            format!("words {} {conjunction} {last} {several}", first.join(", "))
        }
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({} of {:?}, ***)", self.index, self.set)
    }
}

impl Share {
    /// Returns the words.
    pub fn words(&self) -> Vec<&'static str> {
        self.numbers().iter().map(|number| words::word(*number)).collect()
    }

    /// Parses the words, in lower case, whole or cut to four letters.
    ///
    /// Fails by naming what is wrong with which words. Nothing is mended: who types a share has
    /// the page, and a share that was mended wrongly opens nothing.
    pub fn parse(words: &[impl AsRef<str>]) -> Result<Self, ShareError> {
        let known: Zeroizing<Vec<Option<u16>>> =
            Zeroizing::new(words.iter().map(|word| words::number_of(word.as_ref())).collect());
        let unknown: Vec<usize> = known
            .iter()
            .enumerate()
            .filter(|(_, number)| number.is_none())
            .map(|(at, _)| at + 1)
            .collect();
        if unknown.len() > words.len() / 2 {
            return Err(ShareError::Foreign);
        }
        let value_bits = 10 * words.len().saturating_sub(PARAMETER_WORDS + CHECKSUM_WORDS);
        if words.len() < WORDS_MIN || value_bits % 16 > 8 {
            return Err(ShareError::WordCount(words.len()));
        }
        if !unknown.is_empty() {
            return Err(ShareError::UnknownWords(unknown));
        }
        let mut numbers = Zeroizing::new(Vec::with_capacity(known.len()));
        numbers.extend(known.iter().flatten());
        if !fits(&numbers) {
            return Err(mistake_in(&mut numbers));
        }
        Self::of_numbers(&numbers, value_bits % 16).ok_or(ShareError::Meaningless)
    }

    fn numbers(&self) -> Zeroizing<Vec<u16>> {
        let set = &self.set;
        let fields = [
            (u64::from(set.id), 15),
            (u64::from(set.is_extendable), 1),
            (u64::from(set.cost_exponent), 4),
            (u64::from(self.group), 4),
            (u64::from(set.group_threshold - 1), 4),
            (u64::from(set.group_count - 1), 4),
            (u64::from(self.index), 4),
            (u64::from(self.threshold - 1), 4),
        ];
        let parameters = fields.iter().fold(0, |all, (value, bits)| all << bits | value);
        let value_words = (self.value.len() * 8).div_ceil(10);
        let len = PARAMETER_WORDS + value_words + CHECKSUM_WORDS;
        let mut numbers = Zeroizing::new(Vec::with_capacity(len));
        numbers.extend([30, 20, 10, 0].map(|shift| (parameters >> shift & 0x3ff) as u16));
        // The value fills the words from their end; what is left at their beginning is 0.
        let (mut buffer, mut held) = (0u32, value_words * 10 - self.value.len() * 8);
        for byte in &*self.value {
            buffer = buffer << 8 | u32::from(*byte);
            held += 8;
            if held >= 10 {
                held -= 10;
                numbers.push((buffer >> held & 0x3ff) as u16);
            }
        }
        numbers.extend([0; CHECKSUM_WORDS]);
        let sum = checksum(&numbers);
        numbers[len - CHECKSUM_WORDS..].copy_from_slice(&sum);
        numbers
    }

    /// Returns `None` if the padding is not 0, or if there are fewer groups than are needed.
    fn of_numbers(numbers: &[u16], padding_bits: usize) -> Option<Self> {
        let (parameters, rest) = numbers.split_at(PARAMETER_WORDS);
        let parameters = parameters.iter().fold(0, |all, word| all << 10 | u64::from(*word));
        let field = |shift: u32, bits: u32| parameters >> shift & ((1 << bits) - 1);
        let small = |shift: u32| field(shift, 4) as u8;
        let set = SetParameters {
            id: field(25, 15) as u16,
            is_extendable: field(24, 1) == 1,
            cost_exponent: small(20),
            group_threshold: small(12) + 1,
            group_count: small(8) + 1,
        };
        let words = &rest[..rest.len() - CHECKSUM_WORDS];
        let mut value = Zeroizing::new(Vec::with_capacity(words.len() * 10 / 8));
        let (mut buffer, mut held) = (0u32, 0);
        for (at, word) in words.iter().enumerate() {
            buffer = buffer << 10 | u32::from(*word);
            held += 10;
            if at == 0 {
                held -= padding_bits;
                if buffer >> held != 0 {
                    return None;
                }
            }
            while held >= 8 {
                held -= 8;
                value.push((buffer >> held) as u8);
            }
        }
        let (group, index, threshold) = (small(16), small(4), small(0) + 1);
        (set.group_threshold <= set.group_count).then_some(Self {
            set,
            group,
            threshold,
            index,
            value,
        })
    }
}

/// Tells what is wrong with words whose checksum does not fit.
fn mistake_in(numbers: &mut [u16]) -> ShareError {
    let places = places_of_one_wrong_word(numbers);
    if !places.is_empty() {
        return ShareError::WrongWord(places.iter().map(|at| at + 1).collect());
    }
    match place_of_swapped_neighbours(numbers) {
        Some(at) => ShareError::Swapped(at + 1),
        None => ShareError::Checksum,
    }
}
