//! Restoring into an archive instead of a folder, for machines without room for what is restored.
//!
//! ```text
//! walk (one thread) ─ a queue in the snapshot's order ─→ written one after the other
//!                     └─ short files ─→ read ahead by other threads
//! ```
//!
//! A file's length stands before its content, so what is damaged has to be found before the file is
//! begun. Short files are read whole before; in a long one damage in its middle ends the archive
//! there, with an error: no entry ever holds other bytes than the snapshot.
//!
//! **Memory** is bounded by the queue, the reader's cache and what is kept of hard-link groups
//! (tar: the first paths of as many as fit, and a number for each), but for about 200 bytes and the
//! name of each entry of a zip, whose directory stands at its end.

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
    /// A tar archive with pax headers, which holds all that a file system does but sockets, flags
    /// and times of creation.
    Tar,
    /// A zip file, which holds files, folders and symbolic links with modes and times, by names
    /// that are text.
    Zip,
}

/// Where an archive goes.
pub struct ArchiveOutput<'a> {
    /// Its kind.
    pub format: ArchiveFormat,
    /// Where its bytes go.
    pub out: &'a mut dyn Write,
}

/// Writes a snapshot, or a part of it, as an archive; of `options` the path, the patterns, the
/// threads and `numeric_ids` count.
///
/// What is damaged before it is begun, and what the format cannot hold, are problems in the monitor
/// and numbers in the report. Fails with [`Error::Torn`] if a long file turns out to be damaged in
/// its middle, and with [`Error::Archive`] if nothing more can be written: then what was written is
/// not an archive.
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
