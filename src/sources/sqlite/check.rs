//! Check of the databases that a configuration names.

use std::io::{self, Read};
use std::path::Path;

use super::companions::{is_open_in_wal_mode, open_plain};
use super::live::is_database;
use super::{SqliteSettings, databases, place};
use crate::monitor::in_words;
use crate::sources::finding::{Finding, Severity};

/// Place in the header of the number that tells the kind of journal.
const READ_VERSION_AT: usize = 19;
const ROLLBACK: u8 = 1;
/// Length of a database with a rollback journal whose copy takes more than a few seconds.
const LARGE_LEN_BYTES: u64 = 1 << 30;

/// Returns what can be known before the first backup. Changes nothing but in the scratch directory.
pub fn check(settings: &SqliteSettings) -> Vec<Finding> {
    let place = place(settings);
    let databases = match databases(settings) {
        Ok(databases) => databases,
        Err(error) => return vec![Finding::new(Severity::Error, &place, in_words(&error))],
    };
    let mut findings: Vec<Finding> =
        databases.iter().filter_map(|database| check_one(database, &place)).collect();
    if let Err(error) = tempfile::tempfile_in(&settings.scratch) {
        let scratch = crate::text::path(&settings.scratch);
        let message = format!("cannot write to {scratch}: {error}");
        let hint = "large databases are copied there: let this user write to the state folder";
        findings.push(Finding::new(Severity::Warning, &place, message).hint(hint));
    }
    let count = databases.len() as u64;
    let found = crate::text::counted(count, "database");
    findings.push(Finding::new(Severity::Note, &place, format!("{found} found")));
    findings
}

/// Looks at one database, without a lock.
fn check_one(database: &Path, place: &str) -> Option<Finding> {
    let shown = crate::text::path(database);
    let error = |message| Some(Finding::new(Severity::Error, place, message));
    match (header(database), is_open_in_wal_mode(database)) {
        (Err(cause), _) => error(format!("cannot read {shown}: {cause}"))
            .map(|finding| finding.hint("let this user read it")),
        (_, Err(cause)) => error(in_words(&cause))
            .map(|finding| finding.hint("let this user read the files next to the database too")),
        (Ok(header), _) if !header.is_empty() && !is_database(&header) => {
            error(format!("{shown} is not an SQLite database, or it is encrypted"))
                .map(|finding| finding.hint("name the databases one by one"))
        }
        (Ok(header), _) if header.get(READ_VERSION_AT) == Some(&ROLLBACK) => {
            let len_bytes = database.metadata().map_or(0, |metadata| metadata.len());
            let message = format!("writers wait while {shown} is copied");
            let hint = "let the program use WAL mode (`PRAGMA journal_mode = WAL`)";
            let finding = Finding::new(Severity::Note, place, message).hint(hint);
            (len_bytes >= LARGE_LEN_BYTES).then_some(finding)
        }
        _ => None,
    }
}

fn header(database: &Path) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    let file = open_plain(database)?;
    file.take(READ_VERSION_AT as u64 + 1).read_to_end(&mut header)?;
    Ok(header)
}
