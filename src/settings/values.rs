//! Parsers of values: sizes, times, compression and others. Shared by command line and
//! configuration file.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::compress::Compression;
use crate::format::config::Profile;

/// Parses the name of a file; refuses paths.
pub fn parse_file_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('/') {
        return Err("it is the name of a file in whichever folder, not a path".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses a number of bytes: `500k`, `4MiB`, `1.5g`, `4096`.
///
/// A unit letter is a power of 1024, with or without `iB` or `B`.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let refuse = || format!("`{text}` is not a size such as 4096, 500k, 4MiB or 1.5G");
    let unit = unit.trim().to_ascii_lowercase();
    let letter = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit);
    let shift = match letter {
        "" if unit == "ib" => return Err(refuse()),
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return Err(refuse()),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole
            .checked_mul(1 << shift)
            .ok_or_else(|| format!("`{text}` is more than any file can hold"));
    }
    let value: f64 = number.parse().map_err(|_| refuse())?;
    let bytes = value * (1u64 << shift) as f64;
    if bytes.is_finite() && bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(refuse()) }
}

/// The start of a repository's fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub Vec<u8>);

/// Shortest and longest fingerprint: the part that is shown, and all of it.
const FINGERPRINT_LEN_BYTES: RangeInclusive<usize> = 16..=32;

/// Parses a fingerprint in hex, as it is shown: in groups, with or without dashes.
pub fn parse_fingerprint(text: &str) -> Result<Fingerprint, String> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'-' | b':' | b' ')).collect();
    let digit =
        |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> =
        digits.chunks(2).map(|two| Some(digit(two.first()?)? << 4 | digit(two.get(1)?)?)).collect();
    match bytes.filter(|bytes| FINGERPRINT_LEN_BYTES.contains(&bytes.len())) {
        Some(bytes) => Ok(Fingerprint(bytes)),
        None => Err(format!(
            "`{text}` is not a fingerprint of 32 to 64 hex digits, as `drumlin init` shows it"
        )),
    }
}

/// Parses a number of bytes per second: `500k`, `2MiB`, `2MiB/s`; `none` is `u64::MAX`.
pub fn parse_rate(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if text == "none" {
        return Ok(u64::MAX);
    }
    match parse_size(text.strip_suffix("/s").unwrap_or(text))? {
        0 => Err(format!(
            "`{text}` would stop all transfers: it must be more than 0, or `none` for no limit"
        )),
        rate => Ok(rate),
    }
}

/// Parses a span of time: `90s`, `5m`, `1h`, and `0s`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let refuse = || format!("`{text}` is not a time such as 90s, 5m or 1h");
    let (at, unit) = text.char_indices().next_back().ok_or_else(refuse)?;
    let unit_s = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return Err(refuse()),
    };
    let number: u32 = text[..at].parse().map_err(|_| refuse())?;
    Ok(Duration::from_secs(u64::from(number) * unit_s))
}

/// Parses a span of time with days and weeks, too: `90s`, `12h`, `30d`, `2w`.
pub fn parse_interval(text: &str) -> Result<Duration, String> {
    let days = |number: &str, days: u64| {
        number
            .parse::<u32>()
            .ok()
            .map(|number| Duration::from_secs(u64::from(number) * days * 86_400))
    };
    let found = match text.char_indices().next_back() {
        Some((at, 'd')) => days(&text[..at], 1),
        Some((at, 'w')) => days(&text[..at], 7),
        _ => parse_duration(text).ok(),
    };
    found.ok_or_else(|| format!("`{text}` is not a time such as 90s, 5m, 12h, 30d or 2w"))
}

/// Parses a time-out of at least a second.
pub fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err(format!("`{text}` is too short: it must be at least a second")),
        span => Ok(span),
    }
}

/// Parses a number of connections.
pub fn parse_connections(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(number @ 1..=256) => Ok(number),
        _ => Err(format!("`{text}` is not a number from 1 to 256")),
    }
}

/// Parses `none`, `fast`, `default`, `max` or a zstd level from 1 to 22.
pub fn parse_compression(text: &str) -> Result<Compression, String> {
    match text {
        "none" => Ok(Compression::None),
        "fast" => Ok(Compression::FAST),
        "default" => Ok(Compression::DEFAULT),
        "max" => Ok(Compression::MAX),
        _ => match text.parse() {
            Ok(level @ 1..=22) => Ok(Compression::Level(level)),
            _ => Err(format!(
                "`{text}` is not one of none, fast, default, max or a level from 1 to 22"
            )),
        },
    }
}

/// Parses the name of a chunk profile.
pub fn parse_profile(text: &str) -> Result<Profile, String> {
    let named = Profile::ALL.iter().find(|(name, _)| *name == text);
    named
        .map(|(_, profile)| *profile)
        .ok_or_else(|| format!("`{text}` is not one of small, standard, large or fixed"))
}

/// Method of cutting files into chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunker {
    /// Content-defined, with the repository's chunk sizes.
    ContentDefined,
    /// Blocks of fixed length, for disk images and block devices.
    Fixed,
}

/// Parses `cdc` or `fixed`.
pub fn parse_chunker(text: &str) -> Result<Chunker, String> {
    match text {
        "cdc" => Ok(Chunker::ContentDefined),
        "fixed" => Ok(Chunker::Fixed),
        _ => Err(format!("`{text}` is not one of cdc or fixed")),
    }
}

/// Returns whether `text` is a whole number and one of the given unit letters: `6h`, `2y`.
pub fn is_span(text: &str, units: &str) -> bool {
    let Some(unit) = text.chars().last().filter(|unit| units.contains(*unit)) else {
        return false;
    };
    text.strip_suffix(unit)
        .is_some_and(|number| number.parse::<u32>().is_ok_and(|number| number > 0))
}

/// Longest name of a file that Linux's file systems hold.
const FILE_NAME_LEN_MAX_BYTES: usize = 255;

/// Returns the name of a dump if it can be a file's name: the dump is stored at `/` of the
/// snapshot.
pub fn check_dump_name(text: &str) -> Result<String, String> {
    let mut parts = text.strip_prefix('/').unwrap_or(text).split('/');
    if !parts.clone().all(|part| crate::format::entry::is_valid_name(part.as_bytes())) {
        return Err(format!("`{text}` cannot be the name of a file"));
    }
    if parts.any(|part| part.len() > FILE_NAME_LEN_MAX_BYTES) {
        return Err(format!(
            "`{text}` is longer than a file's name can be, {FILE_NAME_LEN_MAX_BYTES} bytes: it \
                could not be restored"
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("500k", 512_000),
            ("4MiB", 4 << 20),
            ("4 MB", 4 << 20),
            ("1.5g", 3 << 29),
            ("1b", 1),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "k", "-1", "4x", "1..2k", "ib", "99999999999g", "1e9", "NaN"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_spans_and_connections() {
        for (text, rate) in
            [("500k", 512_000), ("2MiB/s", 2 << 20), (" 1 MB/s", 1 << 20), ("none", u64::MAX)]
        {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
        assert!(["0", "0/s", "", "/s", "fast", "-1"].iter().all(|text| parse_rate(text).is_err()));
        for (text, seconds) in [("0s", 0), ("90s", 90), ("5m", 300), ("1h", 3600)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert!(
            ["", "5", "s", "-1s", "1.5h", "5 m", "5ü"]
                .iter()
                .all(|text| parse_duration(text).is_err())
        );
        for (text, seconds) in [("90s", 90), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)]
        {
            assert_eq!(parse_interval(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert!(["", "d", "5", "1.5d", "-1d"].iter().all(|text| parse_interval(text).is_err()));
        assert!(parse_timeout("0m").is_err() && parse_timeout("1s").is_ok());
        assert!(
            parse_connections("0").is_err()
                && parse_connections("257").is_err()
                && parse_connections("8") == Ok(8)
        );
    }

    #[test]
    fn compression_is_a_word_or_a_level() {
        assert_eq!(parse_compression("none"), Ok(Compression::None));
        assert_eq!(parse_compression("22"), Ok(Compression::Level(22)));
        for text in ["0", "23", "best", "", "-1"] {
            assert!(parse_compression(text).is_err(), "{text}");
        }
    }
}
