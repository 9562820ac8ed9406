//! What a backup is asked to do, and what it reports.

use std::io;
use std::path::PathBuf;

use crate::compress::Compression;
use crate::format::config::Profile;
use crate::format::snapshot::{Consistency, Snapshot, SnapshotStats};
use crate::id::SnapshotId;
use crate::repo::write::{Checkpoints, Clock};
use crate::rules::{BadPattern, Pattern};

/// What to leave out.
#[derive(Clone, Debug, Default)]
pub struct ExcludeOptions {
    /// Patterns with the meaning of gitignore, as if they stood in `/`; those with a slash inside,
    /// but none at their beginning, also as if they stood in each source.
    pub patterns: Vec<Pattern>,
    /// Leaves out the content of folders with a valid `CACHEDIR.TAG`.
    pub caches: bool,
    /// Leaves out the content of folders that hold one of these names.
    pub if_present: Vec<String>,
    /// Leaves out files of more bytes.
    pub larger_than: Option<u64>,
    /// Files with gitignore rules that are honoured in the folders where they lie.
    pub ignore_files: Vec<String>,
    /// Does not enter other file systems than those of the sources.
    pub one_file_system: bool,
    /// Files that are read even if they look unchanged; patterns.
    pub always_read: Vec<Pattern>,
    /// Folders that are never entered: the repository's own, and its cache.
    pub own_folders: Vec<PathBuf>,
}

/// Bytes that come from a program instead of a file.
pub trait Stream: Send {
    /// Reads the next bytes; 0 at the end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Says, after the end, whether the bytes are complete; an error fails the whole backup.
    fn finish(&mut self) -> io::Result<()>;
}

/// A stream and the file that it becomes.
pub struct StreamSource {
    /// Absolute path in the snapshot, raw bytes.
    pub path: Vec<u8>,
    /// The bytes.
    pub stream: Box<dyn Stream>,
    /// Whether the other sources count without it: what cannot be read is told then, and is not in
    /// the snapshot.
    pub may_fail: bool,
}

/// One backup.
pub struct BackupOptions {
    /// Files and folders to back up.
    pub paths: Vec<PathBuf>,
    /// Streams to back up beside them.
    pub streams: Vec<StreamSource>,
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
    /// What to leave out.
    pub excludes: ExcludeOptions,
    /// Cuts files in another way than the repository's profile.
    pub chunker: Option<Profile>,
    /// How hard to compress.
    pub compression: Compression,
    /// How the sources stand still.
    pub consistency: Consistency,
    /// Symbolic links among `paths` stand for what they lead to.
    pub follow_sources: bool,
    /// Sources that lost their files, and empty streams, are no problem.
    pub allow_empty: bool,
    /// Counts what would be stored, and stores nothing.
    pub dry_run: bool,
    /// Commits a snapshot even if nothing changed.
    pub always_snapshot: bool,
    /// Reads every file, whatever earlier snapshots say of it, and takes over nothing from them.
    pub read_all: bool,
    /// Goes by times and lengths alone, for file systems that number their files anew each time
    /// they are mounted.
    pub ignore_inodes: bool,
    /// Threads for reading, and as many for compressing.
    pub threads: usize,
    /// Needs less than 80 MiB of memory, for some speed.
    pub low_memory: bool,
    /// Tells the time; asked at the beginning and at the end.
    pub clock: Clock,
    /// When what is stored so far is told to collectors and later backups.
    pub checkpoints: Checkpoints,
}

/// What a backup did.
#[derive(Debug)]
pub struct BackupReport {
    /// The new snapshot; `None` after a dry run, or when nothing changed.
    pub snapshot: Option<Snapshot>,
    /// The snapshot that still describes the sources exactly, when nothing changed.
    pub unchanged_since: Option<SnapshotId>,
    /// Counters.
    pub stats: SnapshotStats,
}

/// Why a backup made no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] crate::repo::Error),
    /// A source that the user named is not there or cannot be opened.
    #[error("cannot read source {path}")]
    Source {
        /// The path, for people.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Patterns leave out every source that can be read.
    #[error("no source is left: the patterns leave out each of them")]
    AllLeftOut,
    /// There is nothing to back up.
    #[error("no source is given")]
    NoSource,
    /// An exclude pattern can never match anything.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    /// A stream broke, or the program behind it failed.
    #[error("the stream for {path} is not complete")]
    Stream {
        /// Its path in the snapshot.
        path: String,
        /// What the program said.
        #[source]
        source: io::Error,
    },
}
