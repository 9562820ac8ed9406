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
mod before;
mod chunk_stream;
mod clock;
mod commit;
mod content;
mod context;
mod describe;
mod devices;
mod doubts;
mod earlier;
mod enter;
mod excludes;
mod file;
mod folder;
mod followed;
mod found;
mod gather;
mod gone;
mod hard_links;
mod ignore_file;
mod known;
mod losses;
mod options;
mod parent;
mod path;
mod queue;
mod sources;
mod stamps;
mod start;
mod stream;
mod target_writer;
mod task;
mod trust;
mod visit;
mod walk;
mod worker;

use std::sync::Arc;

pub use options::{BackupOptions, BackupReport, Error, ExcludeOptions, Stream, StreamSource};

use self::attempt::Attempt;
use crate::monitor::Monitor;
use crate::repo::Repository;

/// How often a backup begins because a collector removed what it relied on. More than twice is
/// rare: what is young is left alone.
const ATTEMPTS_MAX: usize = 8;

/// Takes a snapshot.
///
/// Files that could not be read are recorded as problems in `monitor` and in the snapshot, and do
/// not stop it. Fails without a snapshot if the repository fails, a stream is incomplete, a named
/// source does not exist, or `monitor` is cancelled.
///
/// If a collector removed what the backup relied on, it begins again without a parent; fails if
/// streams make that impossible.
pub fn run(
    repository: &Arc<Repository>,
    mut options: BackupOptions,
    monitor: &Monitor,
) -> Result<BackupReport, Error> {
    let streams = std::mem::take(&mut options.streams);
    let can_repeat = streams.is_empty();
    let mut outcome = Attempt::run(repository, &options, streams, true, monitor);
    for _ in 1..ATTEMPTS_MAX {
        match outcome {
            Err(Error::Repository(error)) if can_repeat && error.is_damage() => {
                monitor.begin_again();
                outcome = Attempt::run(repository, &options, Vec::new(), false, monitor);
            }
            other => return other,
        }
    }
    outcome
}
