//! Backup: one flow from sources to a snapshot, with one barrier before the commit.
//!
//! ```text
//!            of the sources     │  of one repository
//!  walk: names and stats ───────┼─ compare with the parent's trees
//!                               │    │ unchanged: the parent's entry ────────────────┐
//!                               │    ▼                                               │
//!  read what changed ───────────┼─ cut ─ hash ─ put ─ references ─ entry ────────────┤
//!                               │                                                    ▼
//!                               │                    trees ─ root ─ finish ─ commit ─
//! ```
//!
//! The left side is `SourceContext`, the right side `TargetContext`. Ids and references are keyed,
//! so they belong to one repository; today each backup has one. Each thread (`Worker`) has one
//! `TargetWriter` for it: its lane and its chunk stream. The parent is optional: `TargetContext`
//! holds its trees in an `Option`, and without them every file is read.
//!
//! Ids are keyed hashes of plaintext, known before anything is stored, so trees never wait for
//! packs. The session's `finish` yields the token that `commit` demands: the types enforce the
//! write order. If the process dies anywhere before the commit there is no snapshot, nothing older
//! is touched, and what was stored and indexed is not sent again.

mod attempt;
mod chunk_stream;
mod clock;
mod commit;
mod content;
mod context;
mod describe;
mod devices;
mod directory;
mod doubts;
mod dump;
mod dump_files;
mod dump_writer;
mod earlier_files;
mod enter;
mod excludes;
mod file;
mod fingerprints;
mod followed;
mod gone;
mod hard_links;
mod ignore_file;
mod inspected;
mod losses;
mod options;
mod ordered_results;
mod parent;
mod parent_entries;
mod path;
mod queue;
mod source_root;
mod sources;
mod start;
mod target_writer;
mod task;
mod timestamps;
mod trust;
mod visit;
mod walk;
mod worker;

use std::sync::Arc;

pub use dump::{Dump, DumpSource, FileNumber, FileSink, KnownFile, PlacedFile};
pub use options::{BackupOptions, BackupReport, Error, ExcludeOptions};

use self::attempt::BackupAttempt;
use crate::monitor::Monitor;
use crate::repo::Repository;

/// Maximum attempts when a concurrent prune deletes packs that this backup depends on. More than
/// two are rare: prune spares recent packs.
const ATTEMPTS_MAX: usize = 8;

/// Takes a snapshot.
///
/// Files that cannot be read are recorded as problems in `monitor` and in the snapshot. Fails
/// without a snapshot if the repository fails, a dump is incomplete, no source can be read, or
/// `monitor` is cancelled.
///
/// If a concurrent prune deletes packs that the backup depends on, it begins again without a
/// parent. Dumps cannot be read twice: with dumps it fails instead.
pub fn run(
    repository: &Arc<Repository>,
    mut options: BackupOptions,
    monitor: &Monitor,
) -> Result<BackupReport, Error> {
    let dumps = std::mem::take(&mut options.dumps);
    let can_repeat = dumps.is_empty();
    let mut outcome = BackupAttempt::run(repository, &options, dumps, true, monitor);
    for _ in 1..ATTEMPTS_MAX {
        match outcome {
            Err(Error::Repository(error)) if can_repeat && error.is_damage() => {
                monitor.begin_again();
                outcome = BackupAttempt::run(repository, &options, Vec::new(), false, monitor);
            }
            other => return other,
        }
    }
    outcome
}
