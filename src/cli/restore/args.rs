//! Options of `drumlin restore`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::archive::ArchiveArgs;
use super::thaw::ThawArgs;
use crate::cli::series_filter::SeriesFilter;
use crate::cli::snapshot_spec::SnapArg;

/// Restore a snapshot, or a path in it
///
/// With PATH, the content of that folder (or that one file) goes into DIR; without, everything goes
/// below DIR with its full path. Files that are right already stay, so run an interrupted restore
/// again to continue it. While root restores into folders of other users, they belong to root; if
/// the restore is killed, they stay so until it is run again. Before it reports success, the
/// restore waits for the disk: what is reported survives a loss of power.
#[derive(Args)]
pub(crate) struct RestoreArgs {
    /// The snapshot, or a path in it: SNAP[:PATH]
    ///
    /// An id or its first digits, latest, latest~2 (two before it), or APP@2026-03-01. A PATH that
    /// does not begin with / starts at the current folder.
    #[arg(value_name = "SNAP[:PATH]")]
    pub(super) snap: SnapArg,

    #[command(flatten)]
    pub(super) series_filter: SeriesFilter,

    /// Folder to restore into; it is made if it does not exist
    #[arg(
        long,
        short = 't',
        value_name = "DIR",
        required_unless_present_any = ["to_tar", "to_zip"],
    )]
    pub(super) target: Option<PathBuf>,

    /// Restore only what matches this pattern (repeatable)
    ///
    /// Patterns are those of .gitignore; everything below a match is restored, too.
    #[arg(long = "include", short = 'i', value_name = "PATTERN")]
    pub(super) includes: Vec<OsString>,

    /// Include by a pattern that ignores upper and lower case
    #[arg(long = "iinclude", value_name = "PATTERN")]
    pub(super) folded_includes: Vec<OsString>,

    /// Exclude what matches this pattern (repeatable)
    #[arg(long = "exclude", short = 'e', value_name = "PATTERN")]
    pub(super) excludes: Vec<OsString>,

    /// Exclude by a pattern that ignores upper and lower case
    #[arg(long = "iexclude", value_name = "PATTERN")]
    pub(super) folded_excludes: Vec<OsString>,

    /// List what would be done; change nothing
    ///
    /// Existing files are read to compare them.
    #[arg(long, short = 'n')]
    pub(super) dry_run: bool,

    /// Read everything from the disk again and compare it
    #[arg(long)]
    pub(super) verify: bool,

    /// Delete what is in restored folders and not in the snapshot
    ///
    /// What the snapshot lists as not read stays.
    #[arg(long)]
    pub(super) delete: bool,

    /// Existing files: always, if-changed or never
    ///
    /// always compares content, if-changed trusts size and time, never leaves files alone. Without
    /// this option, content is compared, except of files that an interrupted restore into a new
    /// folder wrote.
    #[arg(long, value_name = "WHEN", value_enum, hide_possible_values = true)]
    pub(super) overwrite: Option<OverwriteArg>,

    /// Restore owners by number, not by name
    #[arg(long)]
    pub(super) numeric_ids: bool,

    /// Use less memory, at some cost of speed
    #[arg(long)]
    pub(super) low_memory: bool,

    #[command(flatten)]
    pub(super) archive: ArchiveArgs,

    #[command(flatten)]
    pub(super) thaw: ThawArgs,
}

impl RestoreArgs {
    /// Returns whether it only shows what would be restored.
    pub(crate) fn is_dry(&self) -> bool {
        self.dry_run || self.thaw.plan
    }
}

/// When existing files are replaced.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum OverwriteArg {
    Always,
    IfChanged,
    Never,
}
