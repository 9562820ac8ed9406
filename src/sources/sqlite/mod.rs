//! Databases of SQLite: a consistent copy in the place of each live file.
//!
//! The copy is the file, page for page, so a plain restore is right without any adapter. `-wal`,
//! `-shm` and `-journal` belong to the live file and are left out.

mod check;
mod companions;
mod copy;
mod dump;
mod explain;
mod find;
pub mod live;
mod lock;
mod pages;

use std::collections::BTreeSet;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use companions::{SUFFIXES, companion};
use dump::SqliteDump;

use super::failure::failed;
use super::manifest::{SharedRecord, SourceRecord};
use super::planned::Planned;
use crate::backup::DumpSource;
use crate::chunker::Cutting;
use crate::monitor::Monitor;

pub use check::check;

/// The databases of an app.
#[derive(Clone, Debug)]
pub struct SqliteSettings {
    /// Section of the configuration, for messages: `app.vault`.
    pub section: String,
    /// Absolute paths, and patterns of them. Each must find a file.
    pub patterns: Vec<String>,
    /// Directory below which they are, and which their recorded paths do not have: `/` or the
    /// app's `root`.
    pub root: PathBuf,
    /// Directory for copies of databases, of the app's own. After a run that was killed it may hold
    /// a directory `sqlite-…`, which the caller may remove before the next run.
    pub scratch: PathBuf,
}

/// The dumps of an app's databases.
#[derive(Default)]
pub struct SqlitePlan {
    /// A dump for each database, in the order of their paths.
    pub dumps: Vec<Planned>,
    /// Recorded paths that the backup must leave out, whether they are there yet or not.
    pub left_out: Vec<Vec<u8>>,
    /// What the user should know, and is no error.
    pub notices: Vec<String>,
}

/// Plans the dumps of an app's databases. No database is opened.
///
/// Fails if a path or pattern finds nothing.
pub fn plan(settings: &SqliteSettings, monitor: &Arc<Monitor>) -> io::Result<SqlitePlan> {
    let mut plan = SqlitePlan::default();
    for database in databases(settings)? {
        let recorded = recorded(&settings.root, &database);
        let record = SharedRecord::new(SourceRecord {
            place: String::from_utf8_lossy(&recorded).into_owned(),
            kind: "sqlite".to_owned(),
            method: "pages".to_owned(),
            ..SourceRecord::default()
        });
        let dump = SqliteDump {
            database: database.clone(),
            scratch: settings.scratch.clone(),
            place: place(settings),
            monitor: Arc::clone(monitor),
            record: record.clone(),
        };
        let names = SUFFIXES.iter().map(|suffix| [&recorded, suffix.as_bytes()].concat());
        plan.left_out.extend(names);
        let source = DumpSource {
            path: recorded,
            open: Box::new(|| Ok(Box::new(dump))),
            known: None,
            cutting: Some(Cutting::Rows),
            original: Some(database),
            may_fail: false,
        };
        plan.dumps.push(Planned { source, record });
    }
    Ok(plan)
}

/// Returns the section and the key, for messages.
fn place(settings: &SqliteSettings) -> String {
    format!("[{}], key `sqlite`", settings.section)
}

/// Returns the files of all databases, each once.
fn databases(settings: &SqliteSettings) -> io::Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for pattern in &settings.patterns {
        let action = || format!("cannot find the databases `{pattern}` ({})", place(settings));
        files.extend(find::find(&settings.root, pattern).map_err(failed(action))?);
    }
    let belong: BTreeSet<PathBuf> =
        files.iter().flat_map(|file| SUFFIXES.map(|suffix| companion(file, suffix))).collect();
    // `x.db*` finds `x.db-wal` too.
    files.retain(|file| !belong.contains(file));
    Ok(files)
}

/// Returns the path of a file in the snapshot.
fn recorded(root: &Path, file: &Path) -> Vec<u8> {
    let below = file.strip_prefix(root).expect("it was found below it");
    Path::new("/").join(below).as_os_str().as_bytes().to_vec()
}

#[cfg(test)]
mod tests;
