//! The copy of a whole server by `mariadb-backup`.
//!
//! Its stream is unpacked on its way, so that the snapshot holds the server's files, each cut by
//! itself, and an unchanged table is not stored again. A copy is good only if the program succeeded
//! *and* the stream is a whole backup.

use std::io::{self, Read};
use std::sync::Arc;

use super::client::Client;
use super::copied_files::CopiedFiles;
use super::dump::again_at_once;
use super::failure::refusal;
use super::server::{self, Server};
use super::settings::{CopySettings, Product, Settings};
use crate::backup::{Dump, DumpSource, FileSink};
use crate::chunker::Cutting;
use crate::sources::manifest::{FileRecord, SharedRecord, SourceRecord};
use crate::sources::mbstream::{BackupInfo, MbstreamError, Unpacked, Unpacker};
use crate::sources::planned::Planned;
use crate::sources::process::Output;
use crate::sources::runner::Runner;

/// Kind of the source in manifests and reports.
pub(super) const KIND: &str = "mariadb-backup";
/// Bytes that are read at once.
const BLOCK_LEN_BYTES: usize = 256 << 10;
/// Lines of the program's last words that a message has.
const LINES_MAX: usize = 4;
const ACTION: &str = "cannot copy the server";

/// Asks the server for its version, and plans its copy.
pub(super) fn plan(
    settings: &Settings,
    copy: &CopySettings,
    runner: &Arc<dyn Runner>,
) -> io::Result<Planned> {
    let client = Arc::new(Client::find(settings, runner)?);
    let server = server::server(&client)?;
    refuse_other_products(settings, &server)?;
    let record = SharedRecord::new(SourceRecord {
        place: settings.place.clone(),
        kind: KIND.to_owned(),
        method: "backup".to_owned(),
        server: server.version,
        ..SourceRecord::default()
    });
    let dump = ServerCopy { client, record: record.clone(), scratch: copy.scratch.clone() };
    let source = DumpSource {
        path: settings.place.clone().into_bytes(),
        open: Box::new(move || Ok(Box::new(dump))),
        known: None,
        cutting: Some(Cutting::Rows),
        original: None,
        may_fail: false,
    };
    Ok(Planned { source, record })
}

/// Fails for a server that `mariadb-backup` does not copy.
pub(super) fn refuse_other_products(settings: &Settings, server: &Server) -> io::Result<()> {
    match server.product {
        Product::MariaDb => Ok(()),
        Product::MySql => {
            let version = &server.version;
            let why = format!("the server is MySQL {version}: `method = \"backup\"` is MariaDB's");
            Err(refusal(settings, ACTION, why))
        }
    }
}

/// The copy of a server that is about to be made.
struct ServerCopy {
    client: Arc<Client>,
    record: SharedRecord,
    scratch: String,
}

impl Dump for ServerCopy {
    fn run(self: Box<Self>, sink: &mut dyn FileSink) -> io::Result<()> {
        let (files, info) = again_at_once(sink, |sink| self.fill(sink))?;
        let section = &self.client.settings.section;
        if info.is_partial {
            self.record.notice(format!(
                "options of `mariadb-backup` leave databases or tables out of the copy of the \
                 server: see `options` in [{section}], and the option files"
            ));
        }
        self.record.update(|record| {
            record.client = format!("{KIND} {}", info.tool_version);
            if info.is_partial {
                record.left_out = vec!["databases or tables, by options".to_owned()];
            }
            record.files = files;
        });
        Ok(())
    }
}

impl ServerCopy {
    fn fill(&self, sink: &mut dyn FileSink) -> io::Result<(Vec<FileRecord>, BackupInfo)> {
        let failed = |cause: io::Error| self.client.failure(ACTION, concise(cause));
        let mut output = self.client.dump(self.arguments()).map_err(failed)?;
        let mut files = CopiedFiles::new(sink);
        let mut unpacker = Unpacker::default();
        let mut block = vec![0; BLOCK_LEN_BYTES];
        loop {
            match output.read(&mut block) {
                Ok(0) => break,
                Ok(len) => {
                    unpacker.push(&block[..len], &mut files).map_err(|error| self.stopped(error))?
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // The exit status first: it comes with the program's last words.
        output.into_source()?.finish().map_err(failed)?;
        let Unpacked { files: unpacked, info } =
            unpacker.finish().map_err(|error| self.stopped(error))?;
        Ok((files.place(unpacked)?, info))
    }

    /// Returns the error for a stream that was refused; the sink's own errors are passed on.
    fn stopped(&self, error: MbstreamError) -> io::Error {
        match error {
            MbstreamError::Sink(error) => error,
            error => self.client.failure(ACTION, io::Error::other(error)),
        }
    }

    fn arguments(&self) -> Vec<String> {
        let own = ["--backup", "--stream=mbstream", "--parallel=1"].map(str::to_owned);
        let target = format!("--target-dir={}", self.scratch);
        let options = self.client.settings.options.iter().cloned();
        own.into_iter().chain([target]).chain(options).collect()
    }
}

/// Shortens the last words of the program: it tells of each file, and of the user's rights, hash of
/// the password included.
fn concise(cause: io::Error) -> io::Error {
    let words = cause.to_string();
    // `NAME` failed: exit status: 1: …
    let Some((at, _)) = words.match_indices(": ").nth(2).filter(|_| words.contains('\n')) else {
        return cause;
    };
    let (end, last_words) = (&words[..at], &words[at + 2..]);
    let told = last_words.lines().take_while(|line| !line.contains("Current privileges"));
    let told: Vec<&str> = told.map(without_time).collect();
    let is_telling = |line: &&str| TELLING.iter().any(|part| line.contains(part));
    let mut telling: Vec<&str> = told.iter().copied().filter(is_telling).collect();
    if telling.is_empty() {
        telling = told;
    }
    let last = telling.split_off(telling.len().saturating_sub(LINES_MAX));
    io::Error::new(cause.kind(), format!("{end}: {}", last.join("; ")))
}

/// Parts of the lines that say why the program failed.
const TELLING: [&str; 8] =
    ["rror", "ailed", "denied", "Can't", "Unable", "unable", "Retrying", "able to copy"];

/// Takes the place and the time off a line: `[00] 2026-12-01 12:27:25 `.
fn without_time(line: &str) -> &str {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '[' | ']' | '-' | ':' | ' ');
    line.trim_start_matches(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_short_and_hold_no_hash() {
        let words = "`mariadb-backup` failed: exit status: 1: mariadb-backup based on MariaDB 10.11\n\
            [00] 2026-12-01 12:27:22 Using server version 10.11.14-MariaDB\n\
            [00] 2026-12-01 12:27:22 Error: missing required privilege RELOAD on *.*\n\
            [00] 2026-12-01 12:27:22 Current privileges, as reported by 'SHOW GRANTS': \n\
            [00] 2026-12-01 12:27:22   1.GRANT ERROR TO `w` IDENTIFIED BY PASSWORD '*19A4'";
        assert_eq!(
            concise(io::Error::other(words)).to_string(),
            "`mariadb-backup` failed: exit status: 1: Error: missing required privilege RELOAD on \
             *.*"
        );
        let many: String =
            (0..99).map(|n| format!("\n[01] 2026-12-01 12:27:22 Copying {n}")).collect();
        let killed = format!("`mariadb-backup` failed: signal: 9 (SIGKILL): [00] x{many}");
        let text = concise(io::Error::other(killed)).to_string();
        assert!(text.starts_with("`mariadb-backup` failed: signal: 9 (SIGKILL): C"), "{text}");
        assert!(text.ends_with("Copying 97; Copying 98") && text.len() < 300, "{text}");
        let first = "`x` failed: exit status: 1: Retrying read of log at LSN=7\nat 7";
        assert!(
            concise(io::Error::other(first))
                .to_string()
                .ends_with(": Retrying read of log at LSN=7")
        );
        assert_eq!(concise(io::Error::other("interrupted")).to_string(), "interrupted");
    }
}
