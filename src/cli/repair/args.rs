//! Options of `drumlin repair`.

use clap::{Args, ValueEnum};

use crate::maintain::check::Level;

/// Plan how to repair damage; with --apply, repair it
///
/// The index is made again from the packs; what is readable in a damaged pack is stored again; what
/// is lost is taken out of the index, so that the next backup stores it if the source still has it.
/// Nothing is removed, and backups may run meanwhile. Snapshots that lack something stay as they
/// are, until --snapshots replaces them.
#[derive(Args)]
pub(crate) struct RepairArgs {
    /// What to repair [default: index]
    part: Option<RepairTarget>,

    /// How thoroughly to look first: structure or full
    ///
    /// full also reads all file content.
    #[arg(long, value_name = "LEVEL", default_value = "structure")]
    pub(super) level: Level,

    /// Also replace snapshots that lack something
    ///
    /// The new ones leave out what is lost; the old ones go to the trash.
    #[arg(long)]
    pub(super) snapshots: bool,

    /// Carry out the plan; without this it is only shown
    #[arg(long)]
    pub apply: bool,

    /// Only show the plan (the default)
    #[arg(long, short = 'n', conflicts_with = "apply")]
    dry_run: bool,
}

/// What can be repaired.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RepairTarget {
    /// The index, and packs that are damaged
    Index,
}
