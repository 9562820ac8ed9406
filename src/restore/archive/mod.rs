//! Restore into an archive instead of a directory, for machines without room for the restored
//! files.
//!
//! ```text
//! walk (one thread) ─ queue in the snapshot's order ─→ writer
//!                     └─ short files ─→ read ahead by other threads
//! ```
//!
//! A file's length precedes its content, so damage must be found before the file is begun. Short
//! files are read completely first. Damage in the middle of a long file ends the archive there with
//! an error: no entry ever has other bytes than the snapshot.
//!
//! **Memory** is bounded by the queue, the reader's cache and the table of hard-link groups (tar
//! only). A zip takes about 200 bytes and the name of each entry besides, because its directory is
//! written at the end.

mod format;
mod holes;
mod tar;
mod writer;
mod zip;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use self::format::ArchiveReport;

use self::format::Counted;
use self::tar::Tar;
use self::writer::ArchiveWriter;
use self::zip::Zip;
use super::error::{Error, Result};
use super::options::RestoreOptions;
use super::plan::coverage::SourceCoverage;
use super::write::context::RestoreContext;
use super::write::source::RestoreSource;
use crate::format::snapshot::Snapshot;
use crate::monitor::Monitor;
use crate::repo::{Repository, Trees};

/// The kinds of archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// A tar archive with pax headers. It holds everything except sockets, flags and times of
    /// creation.
    Tar,
    /// A zip file. It holds files, directories and symbolic links with modes and times; names must
    /// be UTF-8.
    Zip,
}

/// The output of an archive.
pub struct ArchiveOutput<'a> {
    /// Its format.
    pub format: ArchiveFormat,
    /// Receives its bytes.
    pub out: &'a mut dyn Write,
}

/// Writes a snapshot, or a part of it, as an archive. Uses the path, patterns, threads and
/// `numeric_ids` of `options`.
///
/// Entries that are found to be damaged before they are begun, or that the format cannot hold, are
/// problems in the monitor and counted in the report. Fails with [`Error::Torn`] if a long file is
/// damaged in its middle, and with [`Error::Archive`] if the output fails; then the output is not a
/// valid archive.
pub fn write(
    repository: &Arc<Repository>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    archive: ArchiveOutput<'_>,
    monitor: &Monitor,
) -> Result<ArchiveReport> {
    let trees = Trees::new(options.reader(repository)?);
    let source = RestoreSource::find(&trees, snapshot, options)?;
    let coverage = SourceCoverage::new(snapshot, false);
    let context = RestoreContext::new(trees.clone(), options, monitor, coverage, source.scope());
    source.expect_totals(&context);
    let ArchiveOutput { format, out } = archive;
    let mut counted = Counted { out, written: 0 };
    let mut report = match format {
        ArchiveFormat::Tar => {
            let mut tar = Tar::new(&mut counted, trees, monitor, options.numeric_ids);
            ArchiveWriter::new(&context, &source)?.run(&mut tar)?
        }
        ArchiveFormat::Zip => {
            ArchiveWriter::new(&context, &source)?.run(&mut Zip::new(&mut counted))?
        }
    };
    counted.flush().map_err(|source| Error::Archive { source })?;
    source.report_unmatched(&context);
    report.archive_bytes = counted.written;
    report.damaged = context.counts.damaged.load(Ordering::Relaxed);
    Ok(report)
}
