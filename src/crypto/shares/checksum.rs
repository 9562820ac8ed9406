//! RS1024: the checksum of a share, a code over GF(1024) of distance 4.
//!
//! It finds any three wrong words, and it tells where one wrong word is: exactly one word can be
//! changed so that the checksum fits.

/// Number of words of a checksum.
pub(super) const CHECKSUM_WORDS: usize = 3;

/// Position of the word that says whether a set is extendable.
const DOMAIN_WORD: usize = 1;

const GENERATOR: [u32; 10] = [
    0x0e0e040, 0x1c1c080, 0x3838100, 0x7070200, 0xe0e0009, 0x1c0c2412, 0x38086c24, 0x3090fc48,
    0x21b1f890, 0x3f3f120,
];

/// Returns the checksum of words, of which the last three must be 0.
pub(super) fn checksum(words: &[u16]) -> [u16; CHECKSUM_WORDS] {
    let rest = remainder(words) ^ 1;
    [20, 10, 0].map(|shift| (rest >> shift & 0x3ff) as u16)
}

/// Returns whether the checksum at the end of the words fits.
pub(super) fn fits(words: &[u16]) -> bool {
    remainder(words) == 1
}

/// Returns the positions, from 0, of words that alone could be wrong.
///
/// None if more than one word is wrong. More than one position is returned only where the second
/// word is one of them, because that word chooses between two checksums.
pub(super) fn places_of_one_wrong_word(words: &mut [u16]) -> Vec<usize> {
    let syndrome = remainder(words) ^ 1;
    // The code is linear: a mistake adds its own remainder, which grows by one step a word.
    let place_of = |mistake: u32| {
        let mut added = mistake;
        (0..words.len()).rev().find(|_| {
            let is_all = added == syndrome;
            added = step(added, 0);
            is_all
        })
    };
    let mut places: Vec<usize> =
        (1..1024).filter_map(place_of).filter(|at| *at != DOMAIN_WORD).collect();
    if may_be_mended_at(words, DOMAIN_WORD) {
        places.push(DOMAIN_WORD);
    }
    places.sort_unstable();
    places
}

fn may_be_mended_at(words: &mut [u16], at: usize) -> bool {
    let Some(found) = words.get(at).copied() else { return false };
    let is_mended = (0..1024).any(|other| {
        words[at] = other;
        other != found && fits(words)
    });
    words[at] = found;
    is_mended
}

/// Returns the position, from 0, of the first of two neighbours that are swapped.
pub(super) fn place_of_swapped_neighbours(words: &mut [u16]) -> Option<usize> {
    (1..words.len()).map(|at| at - 1).find(|at| {
        words.swap(*at, at + 1);
        let is_mended = fits(words);
        words.swap(*at, at + 1);
        is_mended
    })
}

/// Returns the remainder of the words, after a text that depends on a bit of one of them.
fn remainder(words: &[u16]) -> u32 {
    let is_extendable = words.get(DOMAIN_WORD).is_some_and(|word| word >> 4 & 1 == 1);
    let domain: &[u8] = if is_extendable { b"shamir_extendable" } else { b"shamir" };
    let rest = domain.iter().fold(1, |rest, byte| step(rest, u32::from(*byte)));
    words.iter().fold(rest, |rest, word| step(rest, u32::from(*word)))
}

/// Returns the remainder after one more value of 10 bits.
fn step(rest: u32, value: u32) -> u32 {
    let top = rest >> 20;
    let shifted = (rest & 0xf_ffff) << 10 ^ value;
    GENERATOR.iter().enumerate().fold(shifted, |rest, (bit, generator)| {
        // A mask in place of a branch: the words are secret.
        rest ^ generator & 0u32.wrapping_sub(top >> bit & 1)
    })
}
