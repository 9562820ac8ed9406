//! Numbers, times and names for people.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::format::entry::Timestamp;

/// Returns a number of bytes with a binary unit and three digits, fewer if it is exact: `0 B`,
/// `1.50 KiB`, `32 KiB`, `12.3 GiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = 0;
    // 1023.5 would be shown as "1024 KiB".
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = match value {
        value if value == value.floor() => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// Returns a number with a comma between groups of three digits.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Returns a number and its noun: `1 file`, `2 files`.
pub fn counted(number: u64, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{} {stem}ies", count(number)),
        _ => format!("{} {noun}s", count(number)),
    }
}

/// Returns a span of time: `0.31 s`, `42 s`, `3:07 min`, `2:03:59 h`.
pub fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..10 => format!("{:.2} s", span.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02} h", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

/// Returns a time for JSON: RFC 3339 in UTC, or `None` outside the years that it can write.
pub fn rfc3339(time: Timestamp) -> Option<String> {
    Some(to_jiff(time)?.to_string())
}

/// Returns a time for people, in the local time zone, to the second.
pub fn local_time(time: Timestamp) -> String {
    match to_jiff(time) {
        Some(time) => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        None => format!("@{}", time.seconds),
    }
}

fn to_jiff(time: Timestamp) -> Option<jiff::Timestamp> {
    // Nanoseconds are always counted forward; jiff wants both parts to have one sign, which adding
    // does.
    let base = jiff::Timestamp::from_second(time.seconds).ok()?;
    base.checked_add(jiff::SignedDuration::from_nanos(time.nanos.into())).ok()
}

/// Returns the current time by the system's clock.
pub fn now() -> Timestamp {
    let nanos = jiff::Timestamp::now().as_nanosecond();
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).expect("jiff's range fits");
    Timestamp {
        seconds,
        nanos: u32::try_from(nanos.rem_euclid(1_000_000_000)).expect("less than 10^9"),
    }
}

/// Returns a name in a form that is safe to print: control characters and bytes that are not UTF-8
/// become `\x1b`, a backslash becomes two.
pub fn printable(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    for part in name.utf8_chunks() {
        for c in part.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                c => push_harmless(&mut out, c),
            }
        }
        for byte in part.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// Returns a text that may contain names as one line that is safe to print.
pub fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| push_harmless(&mut out, c));
    out
}

/// Returns several lines in a form that is safe to print.
pub fn harmless_lines(text: &str) -> String {
    text.split('\n').map(harmless).collect::<Vec<_>>().join("\n")
}

/// Returns a path of this machine for people.
pub fn path(path: &Path) -> String {
    printable(path.as_os_str().as_bytes())
}

fn push_harmless(out: &mut String, c: char) {
    match c {
        c if is_loud(c) => {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
        c => out.push(c),
    }
}

/// Returns whether a terminal interprets a character instead of showing it. Includes direction
/// marks, which can reverse a name.
pub fn is_loud(c: char) -> bool {
    let is_embedding = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_mark = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}');
    c.is_control()
        || is_embedding
        || is_mark
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns the bytes of a name that was typed as [`printable`] shows it: `\\xe9`, and two
/// backslashes for one.
///
/// Other backslashes stay: they are part of the name.
pub fn bytes_of_typed(typed: &[u8]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::with_capacity(typed.len()), typed);
    while let Some((first, behind)) = rest.split_first() {
        let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        let shown = |byte: &u8| *byte >= 0x80 || byte.is_ascii_control() && *byte != 0;
        let (byte, taken) = match behind {
            [b'\\', ..] if *first == b'\\' => (b'\\', 2),
            [b'x', high, low, ..] if *first == b'\\' => match hex(&[*high, *low]).filter(shown) {
                Some(byte) => (byte, 4),
                None => (*first, 1),
            },
            _ => (*first, 1),
        };
        bytes.push(byte);
        rest = &rest[taken..];
    }
    bytes
}

/// Returns the mode column of `ls -l`: kind letter and nine permission letters.
pub fn mode(kind: char, mode: u16) -> String {
    let bit = |shift: u32, letter: char| if mode >> shift & 1 == 1 { letter } else { '-' };
    let special = |shift: u32, special_shift: u32, both: char, alone: char| match (
        mode >> special_shift & 1,
        mode >> shift & 1,
    ) {
        (1, 1) => both,
        (1, _) => alone,
        (_, 1) => 'x',
        _ => '-',
    };
    [
        kind,
        bit(8, 'r'),
        bit(7, 'w'),
        special(6, 11, 's', 'S'),
        bit(5, 'r'),
        bit(4, 'w'),
        special(3, 10, 's', 'S'),
        bit(2, 'r'),
        bit(1, 'w'),
        special(0, 9, 't', 'T'),
    ]
    .iter()
    .collect()
}

/// Returns a string that a shell reads as one word.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.50 KiB"),
            (10_234, "9.99 KiB"),
            (10_239, "10.0 KiB"),
            (1_048_575, "1.00 MiB"),
            (123 << 30, "123 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn numbers_and_spans() {
        assert_eq!(
            (count(0), count(999), count(1_234_567)),
            ("0".into(), "999".into(), "1,234,567".into())
        );
        assert_eq!(
            (counted(1, "file"), counted(2_000, "directory")),
            ("1 file".into(), "2,000 directories".into())
        );
        let spans = [(0.314, "0.31 s"), (42.9, "42 s"), (187.0, "3:07 min"), (7439.0, "2:03:59 h")];
        for (seconds, text) in spans {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), text);
        }
    }

    #[test]
    fn times_before_1970_and_beyond_all_years() {
        let time = |seconds, nanos| rfc3339(Timestamp { seconds, nanos });
        assert_eq!(time(0, 0).unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(time(-1, 500_000_000).unwrap(), "1969-12-31T23:59:59.5Z");
        assert_eq!(time(1_700_000_000, 1).unwrap(), "2023-11-14T22:13:20.000000001Z");
        assert_eq!(time(i64::MAX, 0), None);
        assert!(now().seconds > 1_700_000_000);
    }

    #[test]
    fn names_cannot_speak_to_the_terminal() {
        assert_eq!(printable("Füße/日本".as_bytes()), "Füße/日本");
        for name in [
            &b"caf\xe9"[..],
            b"a\\xe9",
            "\u{9b}".as_bytes(),
            b"plain",
            b"b\\s",
            b"t\there\n",
            b"\\\\",
            b"photos\\new.jpg",
        ] {
            assert_eq!(bytes_of_typed(printable(name).as_bytes()), name);
        }
        assert_eq!(bytes_of_typed(b"a\\b\\n\\x41"), b"a\\b\\n\\x41");
        assert_eq!(printable(b"a\x1b[2Jb\nc\\d\xffe"), "a\\x1b[2Jb\\x0ac\\\\d\\xffe");
        assert_eq!(
            printable("\u{202e}gpj.exe\u{9b}".as_bytes()),
            "\\xe2\\x80\\xaegpj.exe\\xc2\\x9b"
        );
    }

    #[test]
    fn messages_cannot_either() {
        assert_eq!(
            harmless("cannot read a\\x1b: \u{1b}]0;x\u{7}\nerror: \u{2066}b"),
            "cannot read a\\x1b: \\x1b]0;x\\x07\\x0aerror: \\xe2\\x81\\xa6b"
        );
        assert_eq!(harmless_lines("one\ntwo\r"), "one\ntwo\\x0d");
        assert_eq!(path(Path::new("/a\u{1b}b")), "/a\\x1bb");
    }

    #[test]
    fn modes_look_like_those_of_ls() {
        assert_eq!(mode('-', 0o644), "-rw-r--r--");
        assert_eq!(mode('d', 0o1777), "drwxrwxrwt");
        assert_eq!(mode('-', 0o6750), "-rwsr-s---");
        assert_eq!(mode('-', 0o7000), "---S--S--T");
    }

    #[test]
    fn shell_words() {
        assert_eq!(shell_word("/mnt/usb"), "/mnt/usb");
        assert_eq!(shell_word("it's mine"), "'it'\\''s mine'");
        assert_eq!(shell_word(""), "''");
    }
}
