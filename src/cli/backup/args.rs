//! Options of `drumlin backup`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::compress::Compression;
use crate::settings::app::ExcludeSettings;
use crate::settings::values::check_dump_name;
use crate::settings::values::{
    Chunker, parse_chunker, parse_compression, parse_file_name, parse_size,
};

/// Take a snapshot of files and folders
///
/// Files that have not changed since the last snapshot are not read again. If nothing has changed,
/// no snapshot is made (--always-snapshot makes one). The exit code is 3 if a file cannot be read,
/// or if a PATH is missing or has lost its files.
#[derive(Args, Default)]
pub(crate) struct BackupArgs {
    /// Files and folders to back up
    ///
    /// A symbolic link is stored as a link; LINK/ is the folder that it points to.
    pub paths: Vec<PathBuf>,

    #[command(flatten)]
    pub sources: SourceArgs,

    /// Set the app of the snapshot
    ///
    /// Without PATH, back up what [app.NAME] of the configuration names.
    #[arg(long, value_name = "NAME")]
    pub app: Option<String>,

    /// Set a tag of the snapshot (repeatable)
    #[arg(long = "tag", value_name = "TAG", value_parser = crate::cli::series_filter::name)]
    pub tags: Vec<String>,

    /// Set the host's name [default: this machine's name]
    #[arg(long, value_name = "NAME", value_parser = crate::cli::series_filter::name)]
    pub host: Option<String>,

    #[command(flatten)]
    pub excludes: ExcludeArgs,

    #[command(flatten)]
    pub streams: StreamArgs,

    /// Cut files by content (cdc) or into equal pieces (fixed)
    ///
    /// fixed is for disk images. The default is as the repository was made.
    #[arg(long, value_name = "CHUNKER", value_parser = parse_chunker, help_heading = "How")]
    pub chunker: Option<Chunker>,

    /// Compress: none, fast, default, max, or a level from 1 to 22
    #[arg(long, value_name = "LEVEL", value_parser = parse_compression, help_heading = "How")]
    pub compression: Option<Compression>,

    /// Read and count, but store nothing
    #[arg(long, short = 'n', help_heading = "How")]
    pub dry_run: bool,

    /// Make a snapshot even if nothing has changed
    #[arg(long, help_heading = "How")]
    pub always_snapshot: bool,

    /// Read every file, even if it looks unchanged
    ///
    /// This stores again what `repair` found lost.
    #[arg(long, help_heading = "How")]
    pub read_all: bool,

    /// Ignore inode numbers; compare times and lengths
    ///
    /// For file systems that number files anew at each mount (exFAT, sshfs).
    #[arg(long, conflicts_with = "read_all", help_heading = "How")]
    pub ignore_inode: bool,

    /// Use less than 80 MiB of memory, at some cost of speed
    #[arg(long, help_heading = "How")]
    pub low_memory: bool,
}

/// Where PATHs come from, and how they are taken.
#[derive(Args, Default)]
#[command(next_help_heading = "Sources")]
pub(crate) struct SourceArgs {
    /// Read names of files and folders from FILE, one per line (repeatable)
    ///
    /// Names are taken as they are, without patterns; - is standard input.
    #[arg(long, value_name = "FILE")]
    pub files_from: Vec<PathBuf>,

    /// Expect a zero byte after each name in --files-from
    #[arg(long, requires = "files_from")]
    pub null: bool,

    /// Follow each PATH that is a symbolic link
    #[arg(long)]
    pub follow_sources: bool,

    /// Read block devices, fifos and the like as files
    #[arg(long)]
    pub read_special: bool,

    /// Read matching files even if they look unchanged (repeatable)
    ///
    /// For disk images of virtual machines and encrypted containers, which keep their times.
    #[arg(long = "always-read", value_name = "PATTERN")]
    pub always_read: Vec<OsString>,

    /// Accept a PATH without its files, and an empty stream
    ///
    /// Both are reported, but the exit code is not 3.
    #[arg(long)]
    pub allow_empty: bool,
}

/// What to leave out.
#[derive(Args, Default)]
#[command(next_help_heading = "What to leave out")]
pub(crate) struct ExcludeArgs {
    /// Exclude what matches this pattern (repeatable)
    ///
    /// Patterns are those of .gitignore: *.tmp, /home/*/cache/, ./build.
    #[arg(long = "exclude", short = 'e', value_name = "PATTERN")]
    pub patterns: Vec<OsString>,

    /// Exclude by a pattern that ignores upper and lower case
    #[arg(long = "iexclude", value_name = "PATTERN")]
    pub folded_patterns: Vec<OsString>,

    /// Exclude what matches the patterns in FILE, one per line
    #[arg(long = "exclude-file", value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Exclude the content of folders that contain a CACHEDIR.TAG
    #[arg(long)]
    exclude_caches: bool,

    /// Exclude the content of folders that contain a file of this name
    #[arg(long, value_name = "NAME", value_parser = parse_file_name)]
    exclude_if_present: Vec<String>,

    /// Exclude files larger than this: 500k, 4MiB, 2G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    exclude_larger_than: Option<u64>,

    /// Obey files of this name as rules for their folder (.gitignore)
    #[arg(long = "ignore-file", value_name = "NAME", value_parser = parse_file_name)]
    ignore_files: Vec<String>,

    /// Do not enter file systems that are mounted below a PATH
    #[arg(long, short = 'x')]
    one_file_system: bool,
}

/// What to back up that is not a file.
#[derive(Args, Default)]
#[command(next_help_heading = "Streams")]
pub(crate) struct StreamArgs {
    /// Back up standard input as a file
    #[arg(long)]
    pub stdin: bool,

    /// Set the name of that file in the snapshot
    #[arg(
        long,
        value_name = "NAME",
        default_value = "stdin",
        requires = "stdin",
        value_parser = check_dump_name,
    )]
    pub stdin_name: String,

    /// Back up the output of a command as a file (repeatable)
    ///
    /// No snapshot is made if the command fails.
    #[arg(long = "command", value_name = "CMD", requires = "names")]
    pub commands: Vec<String>,

    /// Set the name of that file in the snapshot, one per --command
    #[arg(
        long = "command-name",
        id = "names",
        value_name = "NAME",
        requires = "commands",
        value_parser = check_dump_name,
    )]
    pub names: Vec<String>,
}

impl ExcludeArgs {
    /// Adds these to what the configuration leaves out.
    pub(crate) fn add_to(&mut self, excludes: &mut ExcludeSettings) {
        excludes.if_present.append(&mut self.exclude_if_present);
        excludes.ignore_files.append(&mut self.ignore_files);
        excludes.caches = self.exclude_caches.then_some(true).or(excludes.caches);
        excludes.one_file_system =
            self.one_file_system.then_some(true).or(excludes.one_file_system);
        excludes.larger_than = self.exclude_larger_than.or(excludes.larger_than);
    }
}
