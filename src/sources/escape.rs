//! Names of databases and tables as names of files.
//!
//! A name may hold any character. Its file must have a valid name, must not look like one of the
//! dump's own files (`!header.sql`, `~footer.sql`) nor like an option of a program (`-x.sql`), and
//! must be listed between them: so that `LC_ALL=C cat *` is the dump in an order that loads.

use std::fmt::Write as _;

/// Most bytes of an escaped name: with a suffix it fits into the 255 that file systems allow.
const LEN_MAX_BYTES: usize = 200;
/// Hex digits of the hash that ends a name which would be longer.
const HASH_DIGITS: usize = 32;

/// Returns a name as the name of a file: different for different names, of at most 200 bytes.
///
/// `/`, `%`, `\` and control characters are `%XX`; and so is the first character if it is a dot or
/// a dash, sorts before `"` or after `}`, or is not ASCII. If the result would be too long, its end is
/// `%%` and a hash of the name.
pub fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for (at, character) in name.char_indices() {
        let is_plain = match character {
            '/' | '%' | '\\' | '\0'..' ' | '\x7f' => false,
            '"'..='}' if !matches!(character, '.' | '-') => true,
            _ => at > 0,
        };
        match is_plain {
            true => escaped.push(character),
            false => push_hex(&mut escaped, character),
        }
    }
    if escaped.len() > LEN_MAX_BYTES {
        shorten(&mut escaped, name);
    }
    escaped
}

fn push_hex(escaped: &mut String, character: char) {
    for byte in character.encode_utf8(&mut [0; 4]).bytes() {
        write!(escaped, "%{byte:02X}").expect("a string takes everything");
    }
}

fn shorten(escaped: &mut String, name: &str) {
    let mut len = LEN_MAX_BYTES - HASH_DIGITS - 2;
    while !escaped.is_char_boundary(len) {
        len -= 1;
    }
    escaped.truncate(len);
    escaped.push_str("%%");
    escaped.push_str(&blake3::hash(name.as_bytes()).to_hex()[..HASH_DIGITS]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay_and_others_are_escaped() {
        for (name, escaped) in [
            ("page", "page"),
            ("user data.2", "user data.2"),
            ("a/b%c\\d", "a%2Fb%25c%5Cd"),
            ("..", "%2E."),
            (".hidden", "%2Ehidden"),
            ("-x", "%2Dx"),
            ("--help", "%2D-help"),
            ("a-b", "a-b"),
            ("!header", "%21header"),
            ("~footer", "%7Efooter"),
            (" a", "%20a"),
            ("a\nb\x7f", "a%0Ab%7F"),
            ("é1é", "%C3%A91é"),
            ("😀", "%F0%9F%98%80"),
            ("\"q'`", "\"q'`"),
            ("", ""),
        ] {
            assert_eq!(escape(name), escaped);
        }
    }

    #[test]
    fn escaped_names_are_valid_different_and_sorted_between_our_own() {
        let mut seen = std::collections::BTreeMap::new();
        let parts =
            ["a", "/", "%", "%2F", ".", "-", "~", "!", "é", "\n", " ", "\u{ffff}", "{", "\\"];
        for first in parts {
            for second in parts {
                for third in parts {
                    let name = [first, second, third].concat();
                    let escaped = escape(&name);
                    assert!(
                        !escaped.contains('/') && !escaped.starts_with(['.', '-']),
                        "{escaped}"
                    );
                    assert!("!" < escaped.as_str() && escaped.as_str() < "~", "{escaped}");
                    if let Some(other) = seen.insert(escaped.clone(), name.clone()) {
                        assert_eq!(other, name, "both are {escaped}");
                    }
                }
            }
        }
    }

    #[test]
    fn long_names_end_with_a_hash() {
        let longest = "é".repeat(64);
        assert_eq!(escape(&longest).len(), 6 + 63 * 2);
        let (one, other) = ("/".repeat(100), "/".repeat(101));
        assert!(escape(&one).len() <= 200 && escape(&one).contains("%%"));
        assert_ne!(escape(&one), escape(&other));
        let long = "\u{ffff}".repeat(90);
        assert!(escape(&long).len() <= 200);
    }
}
