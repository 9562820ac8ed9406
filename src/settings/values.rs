//! Values as people write them: sizes, compression, chunkers. Shared by the command line and the configuration file.

use crate::compress::Compression;
use crate::format::config::Profile;

/// Parses a number of bytes: `500k`, `4MiB`, `1.5g`, `4096`.
///
/// A unit letter means the power of 1024, with or without `iB` or `B`: nobody wants to remember which is which.
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
        return whole.checked_mul(1 << shift).ok_or_else(|| format!("`{text}` is more than any file can hold"));
    }
    let value: f64 = number.parse().map_err(|_| refuse())?;
    let bytes = value * (1u64 << shift) as f64;
    if bytes.is_finite() && bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(refuse()) }
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
            _ => Err(format!("`{text}` is not one of none, fast, default, max or a level from 1 to 22")),
        },
    }
}

/// Parses the name of a chunk profile.
pub fn parse_profile(text: &str) -> Result<Profile, String> {
    let named = Profile::ALL.iter().find(|(name, _)| *name == text);
    named.map(|(_, profile)| *profile).ok_or_else(|| format!("`{text}` is not one of small, standard, large or fixed"))
}

/// How a backup cuts files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunker {
    /// Where the content says so, with the repository's own sizes.
    ContentDefined,
    /// At fixed distances: for disk images and block devices.
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

/// Returns an error text if `text` is not a schedule: `hourly`, `every 6h`, `daily 03:10`, `weekly sun 04:00`, five cron fields.
pub fn check_schedule(text: &str) -> Result<(), String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let good = match words.as_slice() {
        ["hourly" | "daily" | "weekly" | "monthly"] => true,
        ["every", span] => is_span(span, "mhdw"),
        ["daily", time] => is_time_of_day(time),
        ["weekly", day, time] => is_weekday(day) && is_time_of_day(time),
        [_, _, _, _, _] => words.iter().all(|field| is_cron_field(field)),
        _ => false,
    };
    let refuse =
        || format!("`{text}` is not a schedule such as \"hourly\", \"every 6h\", \"daily 03:10\" or \"weekly sun 04:00\"");
    if good { Ok(()) } else { Err(refuse()) }
}

/// Returns whether `text` is a whole number and one of the given unit letters: `6h`, `2y`.
pub fn is_span(text: &str, units: &str) -> bool {
    let Some(unit) = text.chars().last().filter(|unit| units.contains(*unit)) else {
        return false;
    };
    text.strip_suffix(unit).is_some_and(|number| number.parse::<u32>().is_ok_and(|number| number > 0))
}

fn is_time_of_day(text: &str) -> bool {
    let Some((hours, minutes)) = text.split_once(':') else {
        return false;
    };
    let within = |part: &str, end: u32| part.len() == 2 && part.parse::<u32>().is_ok_and(|value| value < end);
    within(hours, 24) && within(minutes, 60)
}

fn is_weekday(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].contains(&text.as_str())
}

fn is_cron_field(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "*,-/".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in
            [("0", 0), ("4096", 4096), ("500k", 512_000), ("4MiB", 4 << 20), ("4 MB", 4 << 20), ("1.5g", 3 << 29), ("1b", 1)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "k", "-1", "4x", "1..2k", "ib", "99999999999g", "1e9", "NaN"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn compression_is_a_word_or_a_level() {
        assert_eq!(parse_compression("none"), Ok(Compression::None));
        assert_eq!(parse_compression("22"), Ok(Compression::Level(22)));
        for text in ["0", "23", "best", "", "-1"] {
            assert!(parse_compression(text).is_err(), "{text}");
        }
    }

    #[test]
    fn schedules_of_the_documentation_are_known() {
        for text in ["hourly", "every 6h", "daily 03:10", "weekly sun 04:00", "10 3 * * 1-5", "*/15 * * * *"] {
            assert_eq!(check_schedule(text), Ok(()), "{text}");
        }
        for text in
            ["", "sometimes", "daily 24:00", "daily 3:10", "weekly someday 04:00", "every 6", "every 0h", "every xh", "* * * *"]
        {
            assert!(check_schedule(text).is_err(), "{text}");
        }
    }
}
