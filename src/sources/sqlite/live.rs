//! Databases of SQLite among ordinary files.
//!
//! A copy of a database that changed while it was read may be useless, and nobody would know. Its
//! first bytes tell what it is, so that a notice can say what to add to the configuration.

/// Bytes at the beginning of a file by which a database is recognised.
pub const HEADER_LEN_BYTES: usize = 16;
const HEADER: &[u8; HEADER_LEN_BYTES] = b"SQLite format 3\0";

/// Returns whether a file that begins with these bytes is a database of SQLite.
pub fn is_database(first: &[u8]) -> bool {
    first.starts_with(HEADER)
}

/// Returns the notice for a database that changed while it was read as an ordinary file.
///
/// `path` is the one to write into the configuration, below `root` if there is one.
pub fn notice(path: &str, section: &str) -> String {
    let line = toml::Value::from(path);
    format!(
        "this is an SQLite database, which changed while it was read: its copy may not open; add \
         `sqlite = [{line}]` to [{section}]"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_known_by_its_first_16_bytes() {
        assert!(is_database(b"SQLite format 3\0"));
        assert!(is_database(b"SQLite format 3\0\x10\0\x01\x01"));
        assert!(!is_database(b"SQLite format 3"));
        assert!(!is_database(b"SQLite format 2\0") && !is_database(b""));
    }

    #[test]
    fn the_line_to_add_is_valid_toml() {
        for path in ["/srv/vault/db.sqlite3", "/srv/it's \"x\"/a\\b.db", "/srv/ä\n.db"] {
            let notice = notice(path, "app.vault");
            let line = notice.split('`').nth(1).unwrap();
            let table: toml::Table = line.parse().unwrap();
            assert_eq!(table["sqlite"][0].as_str(), Some(path));
            assert!(notice.ends_with("to [app.vault]"));
        }
    }
}
