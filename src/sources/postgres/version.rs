//! Versions of programs and servers.

use std::fmt;

/// A version: 15.18, or 18.0 for a `18beta1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Dumps of a server need a client whose major version is not older.
    pub major: u32,
    /// Fixes.
    pub minor: u32,
}

/// The first minor versions whose `psql` knows `\restrict`, by major version.
const KNOWS_RESTRICT: [Version; 5] = [v(13, 22), v(14, 19), v(15, 14), v(16, 10), v(17, 6)];

const fn v(major: u32, minor: u32) -> Version {
    Version { major, minor }
}

impl Version {
    /// Parses what `psql --version` says, such as `psql (PostgreSQL) 15.18 (Debian 15.18-0)`.
    pub fn parse(words: &str) -> Option<Self> {
        let number = words.split_whitespace().find(|word| word.starts_with(char::is_numeric))?;
        let (major, rest) = leading_number(number)?;
        let minor = rest.strip_prefix('.').and_then(leading_number);
        Some(Self { major, minor: minor.map_or(0, |(minor, _)| minor) })
    }

    /// Returns the version that the server gives as the number `server_version_num`.
    pub(super) fn of_number(number: u32) -> Self {
        Self { major: number / 10_000, minor: number % 10_000 }
    }

    /// Returns whether `psql` of this version knows the commands `\restrict` and `\unrestrict`,
    /// which newer dumps begin and end with.
    pub fn knows_restrict(self) -> bool {
        let first = KNOWS_RESTRICT.iter().find(|first| first.major == self.major);
        first.map_or(self.major > 17, |first| self >= *first)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

fn leading_number(text: &str) -> Option<(u32, &str)> {
    let len = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..len].parse().ok()?, &text[len..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_parsed_as_programs_say_them() {
        for (words, expected) in [
            ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", Some(v(15, 18))),
            ("pg_dump (PostgreSQL) 18beta1", Some(v(18, 0))),
            ("pg_dump (PostgreSQL) 9.6.24", Some(v(9, 6))),
            ("pg_dump (EnterpriseDB) 15.3.0", Some(v(15, 3))),
            ("sh: pg_dump: not found", None),
            ("99999999999999", None),
            ("", None),
        ] {
            assert_eq!(Version::parse(words), expected, "{words}");
        }
        assert_eq!(Version::of_number(150_018), v(15, 18));
        assert_eq!(v(15, 18).to_string(), "15.18");
    }

    #[test]
    fn psql_knows_the_restriction_from_august_2025_on() {
        for known in [v(13, 22), v(14, 19), v(15, 14), v(15, 18), v(16, 10), v(17, 6), v(18, 0)] {
            assert!(known.knows_restrict(), "{known}");
        }
        for unknown in [v(9, 6), v(12, 99), v(13, 21), v(14, 18), v(15, 13), v(16, 9), v(17, 5)] {
            assert!(!unknown.knows_restrict(), "{unknown}");
        }
    }
}
