//! Names, sizes and times that files have in the oracle's world.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::dice::Dice;
use super::disk::Time;

const PLAIN: [&str; 20] = [
    "a", "b", "c", "d", "e.txt", "f.tmp", "keep.tmp", "skip", "skip", "sub", "build", "x.log",
    "y.log", "A", "B", "a-b", "a.b", "data.bin", "z", "sub2",
];
const ODD: [&[u8]; 16] = [
    b"new\nline",
    b"\x1b[31mred",
    b"\xff\xfe",
    b"trail ",
    b" lead",
    b"*",
    b"?x",
    b"[a",
    b"-rf",
    b"#x",
    b"!x",
    b"\xc3\xa9",
    b"e\xcc\x81",
    b"a\\b",
    b"{a,b}",
    b"x:y",
];
const SIZES: [usize; 18] = [
    0, 1, 7, 511, 512, 513, 4_095, 4_096, 8_192, 20_000, 32_767, 32_768, 65_535, 65_536, 65_537,
    100_000, 131_072, 300_000,
];

/// Returns a name; seldom an odd one.
pub fn name(dice: &mut Dice) -> OsString {
    let bytes = match dice.below(12) {
        0 => vec![b'n'; 255 - dice.below(2)],
        1 | 2 => dice.pick(&ODD).to_vec(),
        _ => dice.pick(&PLAIN).as_bytes().to_vec(),
    };
    OsString::from_vec(bytes)
}

/// Returns the length of a file; small ones are frequent.
pub fn size(dice: &mut Dice) -> usize {
    let among = if dice.chance(70) { 10 } else { SIZES.len() };
    SIZES[dice.below(among)]
}

/// Returns the target of a symbolic link, which may lead to a file, to a folder or nowhere.
pub fn target(dice: &mut Dice) -> OsString {
    match dice.below(8) {
        0 => OsString::from_vec(b"\xff\n".to_vec()),
        1 => OsString::from("/"),
        2 => OsString::from(".."),
        3 => OsString::from("t".repeat(600)),
        _ => name(dice),
    }
}

/// Seconds since 1970 of the days about which `find` is asked.
pub const DAYS: [i64; 4] =
    [1_772_323_200, 1_772_409_600, 1_000_000_000 / 86_400 * 86_400, -86_400 * 400];

/// Returns a time of change: long ago, before 1970, or about the beginning or the end of one of
/// [`DAYS`].
pub fn time(dice: &mut Dice) -> Time {
    let nanos = *dice.pick(&[0, 1, 500_000_000, 999_999_999, 123_456_789]);
    let day = *dice.pick(&DAYS);
    match dice.below(6) {
        0 => (-1, nanos),
        1 => (dice.below(1_700_000_000) as i64, nanos),
        _ => (day + *dice.pick(&[-86_401, -86_400, -1, 0, 1, 43_200, 86_399, 86_400]), nanos),
    }
}
