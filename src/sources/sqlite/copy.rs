//! A copy of a database that no program has open in WAL mode.
//!
//! Under the shared lock its file does not change, so a plain copy is the state between two
//! transactions. Two leftovers of programs that died complete it: a journal to be rolled back, and
//! a WAL without shared memory. They are copied too, and the library recovers *the copy*: the
//! original is never changed. The copy is made at the disk's speed, because writers wait for it.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::companions::{companion, open_companion};
use super::explain::explain;
use super::lock::SharedLock;
use crate::monitor::Monitor;
use crate::sources::failure::failed;
use crate::sources::process::fail_if_cancelled;

/// Longest database that is copied into memory; longer ones go to the scratch directory.
const IN_MEMORY_MAX_BYTES: u64 = 8 << 20;
/// Bytes that are copied before cancellation is checked.
const PIECE_LEN_BYTES: u64 = 32 << 20;

/// Copies a database, and returns its content. `scratch` is a directory for large ones.
pub(super) fn copy(
    database: &Path,
    lock: &SharedLock,
    scratch: &Path,
    monitor: &Monitor,
) -> io::Result<Box<dyn Read + Send>> {
    let mut parts = Vec::new();
    for suffix in ["-wal", "-journal"] {
        if let Some(file) = open_companion(database, suffix)?
            && file.metadata()?.len() > 0
        {
            parts.push((suffix, file));
        }
    }
    let in_scratch = || format!("cannot copy it to {}", crate::text::path(scratch));
    match parts.is_empty() {
        false => recovered(lock.file(), parts, scratch, monitor),
        true if lock.file().metadata()?.len() <= IN_MEMORY_MAX_BYTES => {
            let mut content = Vec::new();
            whole(lock.file())?.read_to_end(&mut content)?;
            Ok(Box::new(Cursor::new(content)))
        }
        true => {
            let mut copy = tempfile::tempfile_in(scratch).map_err(failed(in_scratch))?;
            copy_file(lock.file(), &mut copy, monitor).map_err(failed(in_scratch))?;
            copy.rewind()?;
            Ok(Box::new(copy))
        }
    }
}

/// Copies a database with what completes it, lets the library put it in order, and returns it.
fn recovered(
    file: &File,
    parts: Vec<(&str, File)>,
    scratch: &Path,
    monitor: &Monitor,
) -> io::Result<Box<dyn Read + Send>> {
    let in_scratch = || format!("cannot copy it to {}", crate::text::path(scratch));
    let dir = tempfile::Builder::new().prefix("sqlite-").tempdir_in(scratch);
    let dir = dir.map_err(failed(in_scratch))?;
    let database = dir.path().join("copy");
    for (suffix, part) in parts.iter().map(|(suffix, part)| (*suffix, part)).chain([("", file)]) {
        let mut copy =
            File::create_new(companion(&database, suffix)).map_err(failed(in_scratch))?;
        copy_file(part, &mut copy, monitor).map_err(failed(in_scratch))?;
    }
    recover(&database).map_err(|error| failed(|| "cannot recover its copy")(explain(error)))?;
    // The open file outlives its name.
    Ok(Box::new(File::open(&database)?))
}

/// Rolls back a journal, and moves the content of a WAL into the database.
fn recover(database: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.query_row("PRAGMA user_version", [], |_| Ok(()))?;
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    let is_busy: bool = connection.query_row(checkpoint, [], |row| row.get(0))?;
    assert!(!is_busy, "no other program knows the copy");
    connection.close().map_err(|(_, error)| error)
}

/// Returns a file, from its beginning.
fn whole(mut file: &File) -> io::Result<&File> {
    file.rewind()?;
    Ok(file)
}

fn copy_file(from: &File, to: &mut File, monitor: &Monitor) -> io::Result<()> {
    let from = whole(from)?;
    while io::copy(&mut from.take(PIECE_LEN_BYTES), to)? > 0 {
        fail_if_cancelled(monitor)?;
    }
    Ok(())
}
