//! Options, report and errors of a backup.

use std::io;
use std::path::PathBuf;

use super::dump::DumpSource;
use crate::compress::Compression;
use crate::format::config::Profile;
use crate::format::snapshot::{Consistency, Snapshot, SnapshotStats};
use crate::id::SnapshotId;
use crate::repo::write::{Checkpoints, Clock};
use crate::rules::{BadPattern, Pattern};

/// Rules that leave names out.
#[derive(Clone, Debug, Default)]
pub struct ExcludeOptions {
    /// Patterns with the meaning of gitignore, as if written in `/`. Those with a slash, but not at
    /// the beginning, apply in each source, too.
    pub patterns: Vec<Pattern>,
    /// Leaves out the content of directories with a valid `CACHEDIR.TAG`.
    pub caches: bool,
    /// Leaves out the content of directories with one of these names.
    pub if_present: Vec<String>,
    /// Leaves out files of more than this many bytes.
    pub larger_than: Option<u64>,
    /// Names of files with gitignore rules for their directory.
    pub ignore_files: Vec<String>,
    /// Does not enter file systems other than those of the sources.
    pub one_file_system: bool,
    /// Patterns of files to read even if they look unchanged.
    pub always_read: Vec<Pattern>,
    /// Directories that are never entered: the repository's own, and its cache.
    pub own_folders: Vec<PathBuf>,
}

/// Options of one backup.
pub struct BackupOptions {
    /// Files and directories to back up.
    pub paths: Vec<PathBuf>,
    /// Directory below which the paths are read, and without which they are recorded; `None` for
    /// `/`. Below another one they must be absolute.
    pub root: Option<PathBuf>,
    /// Dumps to back up, too.
    pub dumps: Vec<DumpSource>,
    /// Names below the sources to leave out exactly; absolute paths, raw bytes.
    pub left_out: Vec<Vec<u8>>,
    /// Tags of the snapshot.
    pub tags: Vec<String>,
    /// Name of the host.
    pub host: String,
    /// Name of the user.
    pub user: String,
    /// App that the snapshot belongs to, empty for none.
    pub app: String,
    /// Program and version.
    pub program: String,
    /// Rules that leave names out.
    pub excludes: ExcludeOptions,
    /// Chunker profile, if not the repository's.
    pub chunker: Option<Profile>,
    /// Compression level.
    pub compression: Compression,
    /// How the sources were kept from changing.
    pub consistency: Consistency,
    /// Follows symbolic links among `paths`.
    pub follow_sources: bool,
    /// Accepts sources that lost their files, and empty streams.
    pub allow_empty: bool,
    /// Stores nothing; counts what it would store.
    pub dry_run: bool,
    /// Commits a snapshot even if nothing changed.
    pub always_snapshot: bool,
    /// Reads every file, and uses no parent.
    pub read_all: bool,
    /// Compares times and lengths only, for file systems that change inode numbers with each mount.
    pub ignore_inodes: bool,
    /// Number of threads for reading, and of threads for compressing.
    pub threads: usize,
    /// Needs less than 80 MiB of memory, but more time.
    pub low_memory: bool,
    /// Clock, read at the beginning and at the end.
    pub clock: Clock,
    /// When to publish what is stored so far to collectors and later backups.
    pub checkpoints: Checkpoints,
}

/// Report of a backup.
#[derive(Debug)]
pub struct BackupReport {
    /// The new snapshot; `None` after a dry run, or when nothing changed.
    pub snapshot: Option<Snapshot>,
    /// The snapshot that still describes the sources exactly, when nothing changed.
    pub unchanged_since: Option<SnapshotId>,
    /// Counters.
    pub stats: SnapshotStats,
}

/// Errors that prevent a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] crate::repo::Error),
    /// A source does not exist or cannot be opened.
    #[error("cannot read source {path}")]
    Source {
        /// The path, for people.
        path: String,
        /// Error of the system.
        #[source]
        source: io::Error,
    },
    /// Patterns leave out every source that can be read.
    #[error("no source is left: the patterns leave out each of them")]
    AllLeftOut,
    /// No source is given.
    #[error("no source is given")]
    NoSource,
    /// An exclude pattern can never match anything.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    /// A dump broke, or its program failed.
    #[error("the stream for {path} is not complete")]
    Stream {
        /// Its path in the snapshot.
        path: String,
        /// Error of the stream or its program.
        #[source]
        source: io::Error,
    },
}
