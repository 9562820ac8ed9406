//! What `drumlin backup` can be told.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::compress::Compression;
use crate::settings::model::{ExcludeSettings, check_stream_name};
use crate::settings::values::{
    Chunker, parse_chunker, parse_compression, parse_file_name, parse_size,
};

/// Takes a snapshot of files and folders
///
/// What has not changed since the last snapshot is neither read nor stored again. When nothing at
/// all has changed, no snapshot is made (--always-snapshot makes one). Files that cannot be read
/// are listed, and the exit code is 3; so it is if a PATH is missing or has lost its files.
#[derive(Args, Default)]
pub struct BackupArgs {
    /// Files and folders; of a symbolic link the link itself is stored, of LINK/ what it leads to
    pub paths: Vec<PathBuf>,

    #[command(flatten)]
    pub sources: SourceArgs,

    /// App that the snapshot belongs to; without PATH, back up what [app.NAME] of the configuration
    /// says
    #[arg(long, value_name = "NAME")]
    pub app: Option<String>,

    /// Tag of the snapshot; may be given several times
    #[arg(long = "tag", value_name = "TAG", value_parser = crate::cli::narrow::name)]
    pub tags: Vec<String>,

    /// Name of the host [default: this machine's name]
    #[arg(long, value_name = "NAME", value_parser = crate::cli::narrow::name)]
    pub host: Option<String>,

    #[command(flatten)]
    pub excludes: ExcludeArgs,

    #[command(flatten)]
    pub streams: StreamArgs,

    /// How files are cut: cdc (where the content says so) or fixed (for disk images) [default: as
    /// the repository was made]
    #[arg(long, value_name = "CHUNKER", value_parser = parse_chunker, help_heading = "How")]
    pub chunker: Option<Chunker>,

    /// none, fast, default, max or a level from 1 to 22
    #[arg(long, value_name = "LEVEL", value_parser = parse_compression, help_heading = "How")]
    pub compression: Option<Compression>,

    /// Read and count, but store nothing
    #[arg(long, short = 'n', help_heading = "How")]
    pub dry_run: bool,

    /// Make a snapshot even if nothing has changed
    #[arg(long, help_heading = "How")]
    pub always_snapshot: bool,

    /// Read every file, whatever earlier snapshots say of it: stores again what `repair` found lost
    #[arg(long, help_heading = "How")]
    pub read_all: bool,

    /// Trust times and lengths alone, not inode numbers: for file systems that number files anew at
    /// each mount (exFAT, sshfs)
    #[arg(long, conflicts_with = "read_all", help_heading = "How")]
    pub ignore_inode: bool,

    /// Need less than 80 MiB of memory, for some speed
    #[arg(long, help_heading = "How")]
    pub low_memory: bool,
}

/// Where PATHs come from, and how they are taken.
#[derive(Args, Default)]
#[command(next_help_heading = "Sources")]
pub struct SourceArgs {
    /// Back up the files and folders that FILE names, one per line, as they stand there; - is
    /// standard input. May be given several times
    #[arg(long, value_name = "FILE")]
    pub files_from: Vec<PathBuf>,

    /// Expect a zero byte instead of a line's end between the names of --files-from
    #[arg(long, requires = "files_from")]
    pub null: bool,

    /// Take each PATH that is a symbolic link for what it leads to
    #[arg(long)]
    pub follow_sources: bool,

    /// Read each PATH that is a block device, a fifo or the like, and store what comes as a file
    #[arg(long)]
    pub read_special: bool,

    /// Read what matches this pattern even if size and times are unchanged, for containers that
    /// keep their times; may be given several times
    #[arg(long = "always-read", value_name = "PATTERN")]
    pub always_read: Vec<OsString>,

    /// Accept a PATH that has lost its files, and an empty stream: say so, but do not exit with 3
    #[arg(long)]
    pub allow_empty: bool,
}

/// What to leave out.
#[derive(Args, Default)]
#[command(next_help_heading = "What to leave out")]
pub struct ExcludeArgs {
    /// Leave out what matches this pattern (as in .gitignore: *.tmp, /home/*/cache/, ./build); may
    /// be given several times
    #[arg(long = "exclude", short = 'e', value_name = "PATTERN")]
    pub patterns: Vec<OsString>,

    /// Leave out what matches this pattern, in capital or small letters
    #[arg(long = "iexclude", value_name = "PATTERN")]
    pub folded_patterns: Vec<OsString>,

    /// Leave out what matches the patterns in this file, one per line
    #[arg(long = "exclude-file", value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Leave out the content of folders that hold a CACHEDIR.TAG
    #[arg(long)]
    exclude_caches: bool,

    /// Leave out the content of folders that hold a file of this name
    #[arg(long, value_name = "NAME", value_parser = parse_file_name)]
    exclude_if_present: Vec<String>,

    /// Leave out files larger than this: 500k, 4MiB, 2G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    exclude_larger_than: Option<u64>,

    /// Honour files of this name as rules for the folder they lie in (.gitignore)
    #[arg(long = "ignore-file", value_name = "NAME", value_parser = parse_file_name)]
    ignore_files: Vec<String>,

    /// Do not enter other file systems that are mounted below a PATH
    #[arg(long, short = 'x')]
    one_file_system: bool,
}

/// What to back up that is not a file.
#[derive(Args, Default)]
#[command(next_help_heading = "Streams")]
pub struct StreamArgs {
    /// Back up standard input as a file
    #[arg(long)]
    pub stdin: bool,

    /// Name of that file in the snapshot
    #[arg(long, value_name = "NAME", default_value = "stdin", requires = "stdin", value_parser = check_stream_name)]
    pub stdin_name: String,

    /// Back up the output of this command as a file; no snapshot is made if it fails. May be given
    /// several times
    #[arg(long = "command", value_name = "CMD", requires = "names")]
    pub commands: Vec<String>,

    /// Name of that file in the snapshot, one for each --command
    #[arg(long = "command-name", id = "names", value_name = "NAME", requires = "commands", value_parser = check_stream_name)]
    pub names: Vec<String>,
}

impl ExcludeArgs {
    /// Adds these to what the configuration leaves out.
    pub fn add_to(&mut self, excludes: &mut ExcludeSettings) {
        excludes.if_present.append(&mut self.exclude_if_present);
        excludes.ignore_files.append(&mut self.ignore_files);
        excludes.caches = self.exclude_caches.then_some(true).or(excludes.caches);
        excludes.one_file_system =
            self.one_file_system.then_some(true).or(excludes.one_file_system);
        excludes.larger_than = self.exclude_larger_than.or(excludes.larger_than);
    }
}
