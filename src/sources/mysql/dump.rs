//! Dumps of one database, and of whatever else a client dumps.
//!
//! A dump is good only if the program succeeded *and* its last line is the trailer: a connection
//! that is cut, or a full disk of the server, may look like an early end.

use std::io::{self, Read};
use std::sync::Arc;

use globset::GlobSet;

use super::client::{Client, quoted_name};
use super::failure::{Failure, Retry};
use super::scanner::{Event, Scanner};
use super::sections::{CREATE, Receiver, Sections, Whole, write_file};
use super::server::is_without_rows;
use super::settings::{Product, Settings};
use crate::backup::{Dump, FileSink};
use crate::sources::manifest::{FileRecord, SharedRecord};

/// Bytes that are read at once.
const BLOCK_LEN_BYTES: usize = 128 << 10;

/// A dump of one database: a file that creates it, and a file for each table.
pub(super) struct DatabaseDump {
    pub(super) client: Arc<Client>,
    pub(super) record: SharedRecord,
    pub(super) database: String,
    /// Tables whose rows are left out, as far as they are known: the client need not send them.
    pub(super) without_rows: Vec<String>,
    /// Patterns of all such tables, also of those that are made meanwhile.
    pub(super) patterns: GlobSet,
}

impl Dump for DatabaseDump {
    fn run(self: Box<Self>, sink: &mut dyn FileSink) -> io::Result<()> {
        let files = again_at_once(sink, |sink| self.fill(sink))?;
        self.record.update(|record| record.files = files);
        Ok(())
    }
}

/// Runs a dump, and once more from its beginning if its failure is worth that.
pub(super) fn again_at_once<T>(
    sink: &mut dyn FileSink,
    run: impl Fn(&mut dyn FileSink) -> io::Result<T>,
) -> io::Result<T> {
    let first = run(sink);
    let is_worth_it = |error: &io::Error| Failure::retry_of(error) == Some(Retry::AtOnce);
    match first {
        Err(error) if is_worth_it(&error) => {
            sink.keep(Vec::new())?;
            run(sink)
        }
        ended => ended,
    }
}

impl DatabaseDump {
    fn fill(&self, sink: &mut dyn FileSink) -> io::Result<Vec<FileRecord>> {
        let action = format!("cannot dump database `{}`", self.database);
        let create = write_file(sink, CREATE, self.create(&action)?.as_bytes())?;
        let arguments = arguments(&self.client, &self.database, &self.without_rows);
        let (patterns, database) = (self.patterns.clone(), self.database.clone());
        let is_left_out = Box::new(move |table: &str| is_without_rows(&patterns, &database, table));
        let sections = Box::new(Sections::begin(sink, is_left_out)?);
        let mut files = vec![create];
        let rest = Files { receiver: sections, sink };
        files.append(&mut run(&self.client, arguments, rest, &action)?);
        Ok(files)
    }

    /// Returns SQL that creates the database and selects it.
    fn create(&self, action: &str) -> io::Result<String> {
        let name = quoted_name(&self.database);
        let rows =
            self.client.query(action, &format!("SHOW CREATE DATABASE IF NOT EXISTS {name}"))?;
        match rows.first().and_then(|row| row.get(1)) {
            Some(create) => Ok(format!("{create};\nUSE {name};\n")),
            None => {
                let cause = io::Error::other("the server does not say how to create it");
                Err(self.client.failure(action, cause))
            }
        }
    }
}

/// A dump of users and their rights by the client, as one file.
pub(super) struct UsersDump {
    pub(super) client: Arc<Client>,
    pub(super) record: SharedRecord,
}

impl Dump for UsersDump {
    fn run(self: Box<Self>, sink: &mut dyn FileSink) -> io::Result<()> {
        // Without `--insert-ignore` the first user that is there already would end a load.
        let options = ["--default-character-set=utf8mb4", "--system=users", "--insert-ignore"];
        let arguments =
            options.iter().chain(&["--skip-dump-date"]).map(|&o| o.to_owned()).collect();
        let files = Files { receiver: Box::new(Whole::begin(sink)?), sink };
        let files = run(&self.client, arguments, files, "cannot dump users")?;
        self.record.update(|record| record.files = files);
        Ok(())
    }
}

/// Where a dump goes.
struct Files<'a> {
    receiver: Box<dyn Receiver>,
    sink: &'a mut dyn FileSink,
}

/// Runs a dump to its end.
fn run(
    client: &Client,
    arguments: Vec<String>,
    mut files: Files,
    action: &str,
) -> io::Result<Vec<FileRecord>> {
    let mut output = client.dump(arguments).map_err(|error| client.failure(action, error))?;
    let mut scanner = Scanner::new();
    let mut buffer = vec![0; BLOCK_LEN_BYTES];
    let Files { receiver, sink } = &mut files;
    let mut receive = |event: Event| receiver.receive(event, &mut **sink);
    loop {
        match output.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => scanner.push(&buffer[..len], &mut receive)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let is_complete = scanner.finish(&mut receive)?;
    // The exit status first: it comes with the program's last words.
    output.into_source()?.finish().map_err(|error| client.failure(action, error))?;
    if !is_complete {
        let cause = "the client succeeded, but the dump lacks its last line `-- Dump completed`";
        return Err(client.failure(action, io::Error::other(cause)));
    }
    files.receiver.finish(files.sink)
}

/// Returns the arguments of a dump of one database.
fn arguments(client: &Client, database: &str, without_rows: &[String]) -> Vec<String> {
    let Settings { has_routines, has_events, is_locked, options, .. } = &client.settings;
    let mut arguments = [
        "--default-character-set=utf8mb4",
        if *is_locked { "--lock-all-tables" } else { "--single-transaction" },
        "--quick",
        "--skip-extended-insert",
        "--hex-blob",
        // With locks, a table whose default is the next value of a sequence cannot be loaded.
        "--skip-add-locks",
        "--triggers",
        if *has_routines { "--routines" } else { "--skip-routines" },
        if *has_events { "--events" } else { "--skip-events" },
        "--skip-dump-date",
        "--no-tablespaces",
        // The default of 24 MiB would end a dump at the first longer row.
        "--max-allowed-packet=1G",
    ]
    .map(str::to_owned)
    .to_vec();
    if client.product == Product::MySql {
        let known = ["--set-gtid-purged=OFF", "--column-statistics=0"].into_iter();
        let known = known.filter(|option| client.knows(option.split('=').next().unwrap_or(option)));
        arguments.extend(known.map(str::to_owned));
    }
    if client.knows(IGNORE_DATA) && !database.contains('.') {
        // Only saves reading them: the rows are left out in any case.
        let tables = without_rows.iter().take(IGNORED_MAX);
        arguments.extend(tables.map(|table| format!("{IGNORE_DATA}={database}.{table}")));
    }
    arguments.extend_from_slice(options);
    // A name may begin with a dash.
    arguments.extend(["--".to_owned(), database.to_owned()]);
    arguments
}

const IGNORE_DATA: &str = "--ignore-table-data";
/// Most tables that are named to the client: the system limits the length of arguments.
const IGNORED_MAX: usize = 1_000;
