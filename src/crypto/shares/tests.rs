//! Goal: any threshold of shares opens, fewer tell nothing, and a mistake is named where it is.
//! Method: random splits from seeds, all subsets of them, and all single mistakes in a share.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use zeroize::Zeroizing;

use super::checksum::fits;
use super::combine::{CombineError, combine, of_group};
use super::share::{SHARE_WORDS, SetParameters, Share, ShareError};
use super::split::{Scheme, SchemeError, share_out, split};
use super::text::{SHARE_BEGIN, SHARE_END, numbered_words, shares_in};
use super::words;

fn random_blocks(rng: &mut StdRng, scheme: Scheme) -> Vec<[u8; 32]> {
    (0..scheme.random_blocks()).map(|_| rng.random()).collect()
}

/// Returns three shares, any two of which open.
fn three() -> (Zeroizing<[u8; 32]>, Vec<Share>) {
    let mut rng = StdRng::seed_from_u64(3);
    let secret = Zeroizing::new(rng.random());
    let scheme = Scheme::new(2, 3).unwrap();
    let shares = split(&secret, scheme, rng.random(), &random_blocks(&mut rng, scheme));
    (secret, shares)
}

fn set_of(id: u16) -> SetParameters {
    SetParameters { id, is_extendable: true, cost_exponent: 0, group_threshold: 1, group_count: 1 }
}

/// Returns all subsets, as masks, of `size` of `count` members.
fn subsets(count: u8, size: u8) -> impl Iterator<Item = u32> {
    (0..1u32 << count).filter(move |mask| mask.count_ones() == u32::from(size))
}

fn chosen(shares: &[Share], mask: u32) -> Vec<&Share> {
    shares.iter().filter(|share| mask >> share.index & 1 == 1).collect()
}

#[test]
fn every_threshold_of_shares_opens_and_fewer_do_not() {
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..10_000 {
        let count = rng.random_range(2..=6);
        let scheme = Scheme::new(rng.random_range(2..=count), count).unwrap();
        let secret: [u8; 32] = rng.random();
        let random = random_blocks(&mut rng, scheme);
        let shares = share_out(&secret, set_of(rng.random::<u16>() >> 1), scheme, &random);
        for mask in subsets(count, scheme.threshold()) {
            assert_eq!(of_group(&chosen(&shares, mask)).unwrap()[..], secret);
        }
        for mask in subsets(count, scheme.threshold() - 1) {
            let few = chosen(&shares, mask);
            assert_eq!(of_group(&few).unwrap_err(), CombineError::TooFew(1));
            // Shares with a forged threshold: their digest does not fit.
            let mut lying: Vec<Share> = few.into_iter().cloned().collect();
            lying.iter_mut().for_each(|share| share.threshold -= 1);
            let opened = of_group(&lying.iter().collect::<Vec<_>>());
            match scheme.threshold() {
                // Of one share nothing can be told: it is taken for the secret itself.
                2 => assert_ne!(opened.unwrap()[..], secret),
                _ => assert_eq!(opened.unwrap_err(), CombineError::Unfit),
            }
        }
    }
}

#[test]
fn the_largest_sets_open_by_way_of_their_words() {
    let mut rng = StdRng::seed_from_u64(2);
    for (threshold, count) in [(2, 16), (9, 16), (16, 16), (3, 5)] {
        let scheme = Scheme::new(threshold, count).unwrap();
        let secret = Zeroizing::new(rng.random());
        let mut shares = split(&secret, scheme, u16::MAX, &random_blocks(&mut rng, scheme));
        assert!(shares.iter().all(|share| share.set == set_of(0x7fff)));
        // Other members each time, from the end of the set.
        shares.rotate_left(usize::from(threshold) / 2);
        let read: Vec<Share> = shares[..usize::from(threshold)]
            .iter()
            .map(|share| Share::parse(&share.words()).unwrap())
            .collect();
        assert_eq!(combine(&read, b"").unwrap()[..], secret[..]);
        assert_ne!(combine(&read, b"x").unwrap()[..], secret[..]);
        assert_eq!(combine(&shares, b"").unwrap()[..], secret[..], "all of them");
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let (secret, shares) = three();
    let refused = |shares: &[&Share]| {
        combine(&shares.iter().copied().cloned().collect::<Vec<_>>(), b"").unwrap_err()
    };
    let changed = |share: &Share, change: fn(&mut Share)| {
        let mut share = share.clone();
        change(&mut share);
        share
    };
    let [first, second, third] = &shares[..] else { panic!("three") };
    assert_eq!(refused(&[]), CombineError::None);
    assert_eq!(refused(&[second]), CombineError::TooFew(1));
    assert_eq!(refused(&[first, third, first]), CombineError::SameNumber(1));
    let of_another = changed(second, |share| share.set.id ^= 1);
    assert_eq!(refused(&[first, &of_another]), CombineError::DifferentSets);
    let other_threshold = changed(second, |share| share.threshold = 3);
    assert_eq!(refused(&[first, &other_threshold]), CombineError::DifferentSets);
    let forged = changed(third, |share| share.value[31] ^= 1);
    assert_eq!(refused(&[first, &forged]), CombineError::Unfit, "by the digest");
    assert_eq!(refused(&[first, second, &forged]), CombineError::Unfit, "beside enough others");
    let short = changed(third, |share| share.value.truncate(30));
    assert_eq!(refused(&[first, &short]), CombineError::DifferentSets);
    let costly = |share: &Share| changed(share, |share| share.set.cost_exponent = 11);
    assert_eq!(refused(&[&costly(first), &costly(second)]), CombineError::TooCostly(11));
    assert_eq!(combine(&shares[1..], b"").unwrap()[..], secret[..]);
}

#[test]
fn there_are_no_other_schemes() {
    assert_eq!(Scheme::new(1, 3), Err(SchemeError::Alone));
    assert_eq!(Scheme::new(0, 0), Err(SchemeError::Alone));
    assert_eq!(Scheme::new(4, 3), Err(SchemeError::TooFew));
    assert_eq!(Scheme::new(2, 17), Err(SchemeError::TooMany));
    assert_eq!(Scheme::new(16, 16).map(Scheme::random_blocks), Ok(15));
}

/// Bytes of shares are uniform, whatever the secret is: here it is always the same.
#[test]
fn bytes_of_shares_tell_nothing_of_a_secret() {
    let mut rng = StdRng::seed_from_u64(4);
    let scheme = Scheme::new(3, 4).unwrap();
    let mut counts = vec![[0u32; 256]; 4];
    let splits = 8_000;
    for _ in 0..splits {
        let random = random_blocks(&mut rng, scheme);
        for share in share_out(&[0; 32], set_of(1), scheme, &random) {
            share.value.iter().for_each(|byte| {
                counts[usize::from(share.index)][usize::from(*byte)] += 1;
            });
        }
    }
    let expected = f64::from(splits * 32) / 256.0;
    for (index, counts) in counts.iter().enumerate() {
        let chi_square: f64 =
            counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        // 255 degrees of freedom: five standard deviations of 22.6 to either side.
        assert!((142.0..368.0).contains(&chi_square), "share {index}: {chi_square}");
    }
}

/// Returns the words of a share with one of them replaced.
fn with_word(words: &[&'static str], at: usize, word: &'static str) -> Vec<&'static str> {
    let mut words = words.to_vec();
    words[at] = word;
    words
}

#[test]
fn one_wrong_word_is_named_at_every_place() {
    let (_, shares) = three();
    let right = shares[0].words();
    let mut rng = StdRng::seed_from_u64(5);
    for at in 0..SHARE_WORDS {
        let other = loop {
            let word = words::word(rng.random_range(0..1024));
            if word != right[at] {
                break word;
            }
        };
        let wrong = with_word(&right, at, other);
        assert_eq!(Share::parse(&wrong), Err(ShareError::WrongWord(vec![at + 1])), "{other}");
        let unknown = with_word(&right, at, "drumlin");
        assert_eq!(Share::parse(&unknown), Err(ShareError::UnknownWords(vec![at + 1])));
    }
}

#[test]
fn swapped_neighbours_and_several_wrong_words_are_told_apart() {
    let (_, shares) = three();
    let right = shares[1].words();
    for at in 0..SHARE_WORDS - 1 {
        let mut swapped = right.clone();
        swapped.swap(at, at + 1);
        let expected = match right[at] == right[at + 1] {
            true => Ok(shares[1].clone()),
            false => Err(ShareError::Swapped(at + 1)),
        };
        assert_eq!(Share::parse(&swapped), expected, "{at}");
    }
    let mut wrong = right.clone();
    wrong.swap(3, 20);
    assert_eq!(Share::parse(&wrong), Err(ShareError::Checksum));
    let unknown = with_word(&with_word(&right, 6, "x"), 30, "y");
    assert_eq!(
        Share::parse(&unknown).unwrap_err().to_string(),
        "words 7 and 31 are not in the word list"
    );
    for len in [0, 1, 19, 32] {
        assert_eq!(Share::parse(&right[..len]), Err(ShareError::WordCount(len)));
    }
    let longer = [&right[..], &right[..1]].concat();
    assert_eq!(Share::parse(&longer), Err(ShareError::WordCount(34)));
    let prose: Vec<&str> =
        "we keep the old photos in the garden house of my aunt".split(' ').collect();
    assert_eq!(Share::parse(&prose), Err(ShareError::Foreign));
}

/// All words in the list and the right checksum, but padding that is not 0.
#[test]
fn a_checksum_does_not_excuse_what_has_no_meaning() {
    let (_, shares) = three();
    let mut numbers: Vec<u16> =
        shares[0].words().iter().map(|word| words::number_of(word).unwrap()).collect();
    numbers[4] |= 0x200;
    let tail = numbers.len() - 3;
    numbers[tail..].fill(0);
    let sum = super::checksum::checksum(&numbers);
    numbers[tail..].copy_from_slice(&sum);
    assert!(fits(&numbers));
    let words: Vec<&str> = numbers.iter().map(|number| words::word(*number)).collect();
    assert_eq!(Share::parse(&words), Err(ShareError::Meaningless));
}

/// Returns the shares of a text that has no mistakes.
fn sound(text: &str) -> Vec<Share> {
    shares_in(text).into_iter().map(Result::unwrap).collect()
}

#[test]
fn pages_and_typed_words_are_read() {
    let (_, shares) = three();
    let words = |share: &Share| share.words().join(" ");
    let cut =
        |share: &Share| share.words().iter().map(|word| &word[..4]).collect::<Vec<_>>().join("\n");
    let numbered = |share: &Share| numbered_words(share).to_string();
    let page = |share: &Share| {
        format!("Dear Bo,\n{SHARE_BEGIN}\n{}{SHARE_END}\nkeep it\n", numbered(share))
    };
    for (share, line) in shares.iter().zip(numbered(&shares[0]).lines().skip(10)) {
        assert_eq!(sound(&page(share)), std::slice::from_ref(share));
        assert!(line.starts_with("  31. "), "{line}");
    }
    assert_eq!(sound(&shares.iter().map(page).collect::<String>()), shares);
    let scanned = page(&shares[0]).replace("--- share ---", "  \u{2014} SHARE \u{2014} ");
    assert_eq!(sound(&scanned), shares[..1], "dashes of another kind");
    let unended = page(&shares[0]).replace(SHARE_END, "");
    assert_eq!(shares_in(&unended).len(), 1);
    assert!(shares_in(&unended)[0].is_err(), "what comes after the words counts");
    let crlf = format!("\u{feff}{}", page(&shares[1]).replace('\n', "\r\n"));
    assert_eq!(sound(&crlf), shares[1..2]);
    for typed in [words, cut, numbered] {
        let all: Vec<String> = shares.iter().map(typed).collect();
        assert_eq!(sound(&all[0].to_uppercase()), shares[..1]);
        assert_eq!(sound(&all.join("\n")), shares);
        assert_eq!(sound(&all.join("\n\n")), shares);
        assert_eq!(sound(&format!("# a comment\n1.{}", all[0])), shares[..1]);
    }
    // A word is missing in the second: the empty lines tell where it begins.
    let short = shares[1].words()[..32].join(" ");
    let read = shares_in(&format!("{}\n\n{short}\n\n{}", words(&shares[0]), words(&shares[2])));
    assert_eq!(read[0].as_ref(), Ok(&shares[0]));
    assert_eq!(read[1], Err(ShareError::WordCount(32)));
    assert_eq!(read[2].as_ref(), Ok(&shares[2]));
    assert_eq!(shares_in(&short), [Err(ShareError::WordCount(32))]);
    assert!(shares_in("").is_empty() && shares_in("# only a comment\n 12. \n").is_empty());
}

#[test]
fn a_share_is_never_shown_by_chance() {
    let (_, shares) = three();
    let shown = format!("{:?}", shares[0]);
    assert!(shown.contains("***") && !shown.contains("value"), "{shown}");
}
