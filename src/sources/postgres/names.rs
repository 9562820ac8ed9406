//! Files of the sections of a dump.
//!
//! `LC_ALL=C cat *` must be a dump that loads, and two tables must never share a file.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::sources::escape::escape;

/// The file of what comes before the first rows.
pub(super) const HEADER: &str = "!header.sql";
/// The file of what comes after the rows.
pub(super) const FOOTER: &str = "~footer.sql";

/// Most bytes of a name without its suffix: with it, any file system takes it.
const STEM_LEN_MAX_BYTES: usize = 230;
/// Bytes that a shortened name keeps.
const STEM_LEN_KEPT_BYTES: usize = 190;
/// Hex digits of the hash that ends a shortened name.
const HASH_DIGITS: usize = 32;

/// A table as SQL names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Table {
    schema: Vec<u8>,
    name: Vec<u8>,
}

impl Table {
    /// Parses a qualified name: `public.page` or `"a.b"."c""d"`.
    pub(super) fn parse(sql: &[u8]) -> Option<Self> {
        let (schema, rest) = identifier(sql)?;
        let (name, rest) = identifier(rest.strip_prefix(b".")?)?;
        rest.is_empty().then_some(Self { schema, name })
    }
}

/// Parses an identifier; returns it, and what follows it.
fn identifier(sql: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let Some(mut rest) = sql.strip_prefix(b"\"") else {
        let len = sql.iter().position(|byte| *byte == b'.').unwrap_or(sql.len());
        return (len > 0).then(|| (sql[..len].to_vec(), &sql[len..]));
    };
    let mut name = Vec::new();
    loop {
        let len = rest.iter().position(|byte| *byte == b'"')?;
        name.extend_from_slice(&rest[..len]);
        rest = &rest[len + 1..];
        match rest.strip_prefix(b"\"") {
            Some(doubled) => rest = doubled,
            None => return (!name.is_empty()).then_some((name, rest)),
        }
        name.push(b'"');
    }
}

/// The names of the files of one dump.
#[derive(Default)]
pub(super) struct Names {
    used: HashSet<String>,
    last: Option<Table>,
    /// Tables since one came before its turn.
    moved: Option<u32>,
}

impl Names {
    /// Returns the file for the next rows of the dump, which are this table's.
    ///
    /// `pg_dump` sorts rows by schema and name, unless constraints of an extension demand another
    /// order. Then it counts, and these and all later files are `~NNNNNNNN.SCHEMA.TABLE.sql`, so
    /// that they are loaded in that order. Rows of several partitions may be for one table, by
    /// which they are loaded: then the file's name ends with a number.
    pub(super) fn next(&mut self, table: Table) -> String {
        let stem = stem(&table);
        if self.last.as_ref().is_some_and(|last| *last > table) {
            self.moved.get_or_insert(0);
        }
        let prefix = match &mut self.moved {
            Some(moved) => {
                *moved += 1;
                format!("~{moved:08}.")
            }
            None => String::new(),
        };
        self.last = Some(table);
        let mut path = format!("{prefix}{stem}.sql");
        let mut number = 1;
        while !self.used.insert(path.clone()) {
            number += 1;
            path = format!("{prefix}{stem}%+{number}.sql");
        }
        path
    }
}

/// Returns the name of a table's file without its suffix. The first dot is the one between schema
/// and table.
fn stem(table: &Table) -> String {
    let schema = component(&table.schema).replace('.', "%2E");
    let mut stem = format!("{schema}.{}", component(&table.name));
    if stem.len() > STEM_LEN_MAX_BYTES {
        let mut hasher = blake3::Hasher::new();
        // A name has no zero byte.
        hasher.update(&table.schema).update(&[0]).update(&table.name);
        let kept = stem.floor_char_boundary(STEM_LEN_KEPT_BYTES);
        stem.truncate(kept);
        stem.push_str("%%");
        stem.push_str(&hasher.finalize().to_hex()[..HASH_DIGITS]);
    }
    stem
}

/// Returns a name as a part of a path. One that is not UTF-8 keeps its letters and digits only.
fn component(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(name) => escape(name),
        Err(_) => name.iter().fold(String::new(), |mut escaped, byte| {
            match byte.is_ascii_alphanumeric() {
                true => escaped.push(char::from(*byte)),
                false => write!(escaped, "%{byte:02X}").expect("a string takes everything"),
            }
            escaped
        }),
    }
}

/// Returns the folder of a database's dump, below the folder of the instance.
pub(super) fn folder(database: &str) -> String {
    escape(database)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(schema: &[u8], name: &[u8]) -> Table {
        Table { schema: schema.to_vec(), name: name.to_vec() }
    }

    #[test]
    fn qualified_names_are_parsed() {
        let parse = |sql: &str| Table::parse(sql.as_bytes());
        assert_eq!(parse("public.page"), Some(table(b"public", b"page")));
        assert_eq!(parse("\"a.b\".\"c\"\"d\""), Some(table(b"a.b", b"c\"d")));
        assert_eq!(parse("public.\"a\nb;--\""), Some(table(b"public", b"a\nb;--")));
        for sql in ["", "page", "a.", ".a", "\"a\".b.c", "\"a", "\"a\"b", "\"\".a", "a.\"b\"c"] {
            assert_eq!(parse(sql), None, "{sql}");
        }
    }

    #[test]
    fn files_are_valid_and_between_header_and_footer() {
        for (schema, name, file) in [
            ("public", "page", "public.page.sql"),
            ("public", "a;b--", "public.a;b--.sql"),
            ("public", "a/b%", "public.a%2Fb%25.sql"),
            ("a.b", "c", "a%2Eb.c.sql"),
            ("a", "b.c", "a.b.c.sql"),
            ("..", "..", "%2E%2E.%2E..sql"),
            ("!a", "~b", "%21a.%7Eb.sql"),
            ("~a", "b", "%7Ea.b.sql"),
            ("-", "-", "%2D.%2D.sql"),
            (" ", "\n", "%20.%0A.sql"),
            ("é", "é", "%C3%A9.%C3%A9.sql"),
        ] {
            let path = Names::default().next(table(schema.as_bytes(), name.as_bytes()));
            assert_eq!(path, file);
            assert!(HEADER < path.as_str() && path.as_str() < FOOTER, "{path}");
        }
        assert_eq!(Names::default().next(table(b"p", b"\xe9\xe8/")), "p.%E9%E8%2F.sql");
        assert_eq!([folder("-a"), folder("..")], ["%2Da", "%2E."]);
    }

    #[test]
    fn different_tables_have_different_files() {
        let parts: [&[u8]; 12] =
            [b"a", b".", b"/", b"%2F", b"%", b"-", b"~", b"\xc3\xa9", b"\xe9", b"%%", b"\n", b"\""];
        let mut words: Vec<Vec<u8>> = parts.iter().map(|part| part.to_vec()).collect();
        words.extend(parts.iter().flat_map(|a| parts.iter().map(|b| [*a, *b].concat())));
        words.sort();
        words.dedup();
        let mut seen = std::collections::HashMap::new();
        for schema in &words {
            for name in &words {
                let stem = stem(&table(schema, name));
                assert!(!stem.contains('/') && !stem.starts_with(['.', '-', '~', '!']), "{stem}");
                if let Some(other) = seen.insert(stem.clone(), (schema, name)) {
                    panic!("{stem} is {other:?} and {schema:?} {name:?}");
                }
            }
        }
        assert_eq!(seen.len(), words.len() * words.len());
    }

    #[test]
    fn long_names_fit_and_differ() {
        let (a, b) = ([b'/'; 63], [&[b'/'; 62][..], b"."].concat());
        let one = Names::default().next(table(&a, &a));
        let other = Names::default().next(table(&a, &b));
        assert!(one.len() <= 240 && other.len() <= 240 && one != other, "{one} {other}");
        let whole = "é".repeat(31);
        let path = Names::default().next(table(b"public", whole.as_bytes()));
        assert!(path.ends_with("é.sql") && path.len() < 100, "{path}");
    }

    #[test]
    fn rows_out_of_order_keep_their_order() {
        let mut names = Names::default();
        let order = ["b", "d", "c", "c", "e", "e"];
        let paths: Vec<String> =
            order.iter().map(|name| names.next(table(b"s", name.as_bytes()))).collect();
        let expected = [
            "s.b.sql",
            "s.d.sql",
            "~00000001.s.c.sql",
            "~00000002.s.c.sql",
            "~00000003.s.e.sql",
            "~00000004.s.e.sql",
        ];
        assert_eq!(paths, expected);
        assert!(paths.is_sorted() && paths.last().unwrap().as_str() < FOOTER);
        let mut names = Names::default();
        let twice = [names.next(table(b"s", b"a")), names.next(table(b"s", b"a"))];
        assert_eq!(twice, ["s.a.sql", "s.a%+2.sql"]);
    }
}
