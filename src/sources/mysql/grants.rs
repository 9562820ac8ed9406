//! Rights of a user, from what `SHOW GRANTS` says.
//!
//! A user without some rights gets a dump that lacks routines or triggers, and no error.

/// One line of `SHOW GRANTS`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    /// In capitals.
    rights: Vec<String>,
    /// Pattern of databases, as `LIKE` has it; `None` for all.
    databases: Option<String>,
}

/// The rights of a user on whole databases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Grants {
    grants: Vec<Grant>,
    /// Whether there are rights that the lines do not show: those of roles.
    pub(super) has_roles: bool,
}

impl Grants {
    /// Parses lines of `SHOW GRANTS`. Rights on single tables and routines are left out.
    pub(super) fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut grants = Self::default();
        for line in lines {
            let Some(rest) = line.strip_prefix("GRANT ") else { continue };
            let Some((rights, rest)) = split_outside_quotes(rest, " ON ") else {
                grants.has_roles = true;
                continue;
            };
            let Some((object, _)) = split_outside_quotes(rest, " TO ") else { continue };
            let Some(database) = object.strip_suffix(".*") else { continue };
            let databases = match database {
                "*" => None,
                quoted => Some(unquoted(quoted)),
            };
            let rights = rights_in(rights);
            grants.grants.push(Grant { rights, databases });
        }
        grants
    }

    /// Returns whether there is a right on all of a database, or everywhere for `None`.
    pub(super) fn has(&self, right: &str, database: Option<&str>) -> bool {
        self.grants.iter().any(|grant| {
            let is_there = match (&grant.databases, database) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(pattern), Some(database)) => is_like(database, pattern),
            };
            let has_right = grant.rights.iter().any(|has| has == right || has == "ALL PRIVILEGES");
            is_there && has_right
        })
    }
}

fn rights_in(text: &str) -> Vec<String> {
    // Rights on columns are `SELECT (a, b)`: they are none on the database.
    let words = text.split(',').map(|right| right.trim().to_ascii_uppercase());
    words.filter(|right| !right.contains(['(', ')'])).collect()
}

/// Splits at the first `separator` outside of backticks and quotes.
fn split_outside_quotes<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'`' | b'\'' | b'"') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            (None, _) if text.as_bytes()[at..].starts_with(separator.as_bytes()) => {
                return Some((&text[..at], &text[at + separator.len()..]));
            }
            _ => {}
        }
    }
    None
}

fn unquoted(name: &str) -> String {
    let inner = name.strip_prefix('`').and_then(|name| name.strip_suffix('`'));
    inner.map_or_else(|| name.to_owned(), |inner| inner.replace("``", "`"))
}

/// One character of a pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Any,
    One,
    This(char),
}

/// Returns whether a name is like a pattern of a grant: `%` and `_` are wild, `\` escapes them.
fn is_like(name: &str, pattern: &str) -> bool {
    let (name, pattern): (Vec<char>, Vec<Wanted>) = (name.chars().collect(), wanted(pattern));
    let (mut at, mut wanted_at, mut last_any) = (0, 0, None);
    while at < name.len() {
        match pattern.get(wanted_at) {
            Some(Wanted::Any) => {
                last_any = Some((wanted_at, at));
                wanted_at += 1;
            }
            Some(wanted) if matches!(wanted, Wanted::One) || *wanted == Wanted::This(name[at]) => {
                at += 1;
                wanted_at += 1;
            }
            _ => {
                // The last `%` takes one more: it alone decides, so there is no search.
                let Some((any, taken)) = last_any else { return false };
                last_any = Some((any, taken + 1));
                (at, wanted_at) = (taken + 1, any + 1);
            }
        }
    }
    pattern[wanted_at..].iter().all(|wanted| *wanted == Wanted::Any)
}

fn wanted(pattern: &str) -> Vec<Wanted> {
    let (mut wanted, mut characters) = (Vec::new(), pattern.chars());
    while let Some(character) = characters.next() {
        wanted.push(match character {
            '%' => Wanted::Any,
            '_' => Wanted::One,
            '\\' => Wanted::This(characters.next().unwrap_or('\\')),
            other => Wanted::This(other),
        });
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_hold_where_they_are_granted() {
        let grants = Grants::parse([
            "GRANT USAGE ON *.* TO `app`@`%` IDENTIFIED BY PASSWORD '*A ON B'",
            "GRANT SELECT, SHOW VIEW, TRIGGER ON `wiki\\_%`.* TO `app`@`%`",
            "GRANT ALL PRIVILEGES ON `a ON ``b`.* TO `app`@`%` WITH GRANT OPTION",
            "GRANT SELECT ON `mysql`.`proc` TO `app`@`%`",
            "GRANT SELECT (`x`), INSERT ON `one`.* TO `app`@`%`",
        ]);
        assert!(grants.has("SELECT", Some("wiki_de")) && !grants.has("EVENT", Some("wiki_de")));
        assert!(!grants.has("SELECT", Some("wikixde")) && !grants.has("SELECT", None));
        assert!(grants.has("EVENT", Some("a ON `b")));
        assert!(!grants.has("SELECT", Some("mysql")), "one table is not the database");
        assert!(!grants.has("SELECT", Some("one")), "one column is not the database");
        assert!(!grants.has_roles);
    }

    #[test]
    fn rights_everywhere_and_roles_are_seen() {
        let mysql = Grants::parse([
            "GRANT SELECT, SHOW VIEW, EVENT, TRIGGER ON *.* TO `backup`@`localhost`",
            "GRANT SHOW_ROUTINE,BACKUP_ADMIN ON *.* TO `backup`@`localhost`",
            "GRANT `reader`@`%` TO `backup`@`localhost`",
        ]);
        assert!(mysql.has("SHOW_ROUTINE", None) && mysql.has("SELECT", Some("x")));
        assert!(mysql.has_roles && !mysql.has("LOCK TABLES", Some("x")));
        let root = Grants::parse(["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost`"]);
        assert!(root.has("SHOW CREATE ROUTINE", None));
    }

    #[test]
    fn patterns_are_those_of_like() {
        for (name, pattern, is_match) in [
            ("a", "a", true),
            ("a", "%", true),
            ("", "%", true),
            ("abc", "a%c", true),
            ("abd", "a%c", false),
            ("a_c", "a\\_c", true),
            ("abc", "a\\_c", false),
            ("éa", "_a", true),
            ("a", "a_", false),
        ] {
            assert_eq!(is_like(name, pattern), is_match, "{name} {pattern}");
        }
    }
}
