//! Pages of a database that programs have open in WAL mode.
//!
//! The library reads them in one read transaction, which nobody waits for. It is kept from changing
//! anything: the database and its shared memory are opened for reading only, and the shared lock
//! (`lock.rs`) keeps `-wal` and `-shm` there, because the library would make them anew.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::explain::explain;
use super::lock::SharedLock;
use crate::monitor::Monitor;
use crate::sources::dump_file::DumpFile;
use crate::sources::failure::failed;
use crate::sources::process::fail_if_cancelled;

/// Time for another program to release a lock.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pages that the library copies at once.
const PAGES_AT_ONCE: i32 = 1024;
const PAGES: &str = "SELECT data FROM sqlite_dbpage('main') ORDER BY pgno";

/// A read transaction on a database in WAL mode.
pub(super) struct Pages {
    // Closed before the lock is released.
    connection: Connection,
    _lock: SharedLock,
    count: i64,
}

impl Pages {
    /// Begins a read transaction.
    pub(super) fn begin(database: &Path, lock: SharedLock) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(uri(database), flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection.execute_batch("BEGIN")?;
        // The first statement that reads begins the transaction.
        let count = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        Ok(Self { connection, _lock: lock, count })
    }

    /// Writes all pages in their order.
    pub(super) fn write_to(&self, file: &mut DumpFile, monitor: &Monitor) -> io::Result<()> {
        let mut statement = self.connection.prepare(PAGES).map_err(explain)?;
        let mut rows = statement.query([]).map_err(explain)?;
        let mut count = 0;
        while let Some(row) = rows.next().map_err(explain)? {
            fail_if_cancelled(monitor)?;
            let page = row.get_ref(0).map_err(explain)?;
            file.write(page.as_blob().map_err(io::Error::other)?)?;
            count += 1;
        }
        match count == self.count {
            true => Ok(()),
            false => Err(io::Error::other(format!("{count} pages came, not {}", self.count))),
        }
    }

    /// Returns whether the library was built with the table of pages.
    pub(super) fn has_table(&self) -> bool {
        self.connection.prepare(PAGES).is_ok()
    }

    /// Returns a copy that the library made in the directory `scratch`.
    pub(super) fn copy(&self, scratch: &Path, monitor: &Monitor) -> io::Result<File> {
        let in_scratch = || format!("cannot copy it to {}", crate::text::path(scratch));
        let dir = tempfile::Builder::new().prefix("sqlite-").tempdir_in(scratch);
        let dir = dir.map_err(failed(in_scratch))?;
        let database = dir.path().join("copy");
        let mut copy = Connection::open(&database).map_err(explain)?;
        copy.pragma_update(None, "synchronous", "OFF").map_err(explain)?;
        let backup = Backup::new(&self.connection, &mut copy).map_err(explain)?;
        loop {
            fail_if_cancelled(monitor)?;
            match backup.step(PAGES_AT_ONCE).map_err(|e| failed(in_scratch)(explain(e)))? {
                StepResult::Done => break,
                StepResult::More => {}
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        drop(backup);
        copy.close().map_err(|(_, error)| explain(error))?;
        // The open file outlives its name.
        File::open(&database)
    }
}

/// Returns whether an error may be gone in a moment: another program is putting the shared memory
/// in order.
pub(super) fn is_passing(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::ReadOnly | ErrorCode::FileLockingProtocolFailed))
}

/// Returns the URI of a database whose shared memory is not to be written.
fn uri(database: &Path) -> String {
    use std::fmt::Write as _;
    let mut uri = "file:".to_owned();
    for byte in database.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte));
            }
            _ => write!(uri, "%{byte:02X}").expect("a string takes everything"),
        }
    }
    uri + "?mode=ro&readonly_shm=1"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_path_survives_in_the_uri() {
        assert_eq!(uri(Path::new("/a/b.db")), "file:/a/b.db?mode=ro&readonly_shm=1");
        let odd = Path::new(std::ffi::OsStr::from_bytes(b"/a?b#c%d \xff"));
        assert!(uri(odd).starts_with("file:/a%3Fb%23c%25d%20%FF?"));
    }
}
