//! The dump of one database.
//!
//! Two ways lead to a consistent state: programs that have the database open in WAL mode leave
//! `-wal` and `-shm`, and then the library reads its pages; else its file is copied. Which of them
//! is right may change until the shared lock is held, and so all is looked at again afterwards.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::companions::is_open_in_wal_mode;
use super::copy::copy;
use super::explain::explain;
use super::live::{HEADER_LEN_BYTES, is_database};
use super::lock::SharedLock;
use super::pages::{Pages, is_passing};
use crate::backup::{Dump, FileSink};
use crate::monitor::Monitor;
use crate::sources::dump_file::DumpFile;
use crate::sources::failure::failed;
use crate::sources::manifest::SharedRecord;

/// Time to wait for a program that writes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Times that the database is looked at again when other programs open or replace it.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// A database to dump.
pub(super) struct SqliteDump {
    /// Its file, which is no link.
    pub database: PathBuf,
    /// Directory for copies of large databases.
    pub scratch: PathBuf,
    /// Section and key of the configuration.
    pub place: String,
    pub monitor: Arc<Monitor>,
    pub record: SharedRecord,
}

/// The content of a database at one moment.
enum Content {
    Copy(Box<dyn Read + Send>),
    Pages(Pages),
}

/// Result of one look at a database.
enum Look {
    Content(Content),
    /// Another program interfered.
    Again(io::Error),
}

impl Dump for SqliteDump {
    fn run(self: Box<Self>, sink: &mut dyn FileSink) -> io::Result<()> {
        let shown = crate::text::path(&self.database);
        let action = || format!("cannot dump the database {shown} ({})", self.place);
        let content = self.content().map_err(failed(action))?;
        let mut file = DumpFile::begin(sink, "")?;
        self.write(content, &mut file).map_err(failed(action))?;
        let written = file.end()?;
        self.record.update(|record| record.files = vec![written]);
        Ok(())
    }
}

impl SqliteDump {
    fn content(&self) -> io::Result<Content> {
        let mut left = ATTEMPTS;
        loop {
            match self.look()? {
                Look::Content(content) => return Ok(content),
                Look::Again(error) if left == 0 => return Err(error),
                Look::Again(_) => left -= 1,
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn look(&self) -> io::Result<Look> {
        let path = &self.database;
        let lock = SharedLock::take(path, PATIENCE, &self.monitor)?;
        refuse_foreign(&lock)?;
        let interfered = || {
            let why = "other programs open it all the time";
            Look::Again(io::Error::new(io::ErrorKind::ResourceBusy, why))
        };
        if lock.file().metadata()?.len() == 0 {
            // The library would remove a `-wal` or `-journal`.
            return Ok(Look::Content(Content::Copy(Box::new(io::empty()))));
        }
        if !is_open_in_wal_mode(path)? {
            let copy = || copy(path, &lock, &self.scratch, &self.monitor);
            let copied = unless_disturbed(path, &lock, copy)?;
            return Ok(copied.map_or_else(interfered, |copy| Look::Content(Content::Copy(copy))));
        }
        if !lock.is_at(path)? {
            return Ok(interfered());
        }
        match Pages::begin(path, lock) {
            Ok(pages) => Ok(Look::Content(Content::Pages(pages))),
            Err(error) if is_passing(&error) => Ok(Look::Again(explain(error))),
            Err(error) => Err(explain(error)),
        }
    }

    fn write(&self, content: Content, file: &mut DumpFile) -> io::Result<()> {
        let mut copied: Box<dyn Read> = match content {
            Content::Copy(copied) => copied,
            Content::Pages(pages) if pages.has_table() => {
                return pages.write_to(file, &self.monitor);
            }
            Content::Pages(pages) => Box::new(pages.copy(&self.scratch, &self.monitor)?),
        };
        file.fill(&mut copied, |_| Ok(()))
    }
}

/// Returns what `act` makes of a database; `None` if another program opened it in WAL mode
/// meanwhile, or replaced it.
///
/// In that mode a program may write without the exclusive lock. It has left both files then, which
/// it cannot remove while the lock is held.
pub(super) fn unless_disturbed<T>(
    database: &Path,
    lock: &SharedLock,
    act: impl FnOnce() -> io::Result<T>,
) -> io::Result<Option<T>> {
    let made = act()?;
    let is_quiet = !is_open_in_wal_mode(database)? && lock.is_at(database)?;
    Ok(is_quiet.then_some(made))
}

/// Fails for a file that is no database: its copy could mix two states.
fn refuse_foreign(lock: &SharedLock) -> io::Result<()> {
    let mut header = Vec::new();
    lock.file().take(HEADER_LEN_BYTES as u64).read_to_end(&mut header)?;
    match header.is_empty() || is_database(&header) {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not an SQLite database, or it is encrypted; if a pattern found it, name the \
             databases one by one",
        )),
    }
}
