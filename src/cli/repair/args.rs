//! What `drumlin repair` can be told.

use clap::{Args, ValueEnum};

use crate::maintain::check::Level;

/// Plans how to heal what is damaged; with --apply, heals what can be healed
///
/// The index is made again from what the packs hold; what can still be read of a damaged pack is
/// stored again; and what is lost is taken out of the index, so that the next backup stores it
/// again if the source still has it. Nothing is removed, and backups may run meanwhile. What stays
/// lost stays in the snapshots that lack it, until --snapshots makes new ones without it.
#[derive(Args)]
pub struct RepairArgs {
    /// What to heal [default: index]
    part: Option<Part>,

    /// How thoroughly to look for damage first: structure, or full (reads all file content too)
    #[arg(long, value_name = "LEVEL", default_value = "structure")]
    pub(super) level: Level,

    /// Also replace snapshots that would go on lacking something by new ones without it; the old
    /// ones go to the trash
    #[arg(long)]
    pub(super) snapshots: bool,

    /// Do it; without this option the plan is only shown
    #[arg(long)]
    pub apply: bool,

    /// Only show the plan (as without --apply)
    #[arg(long, short = 'n', conflicts_with = "apply")]
    dry_run: bool,
}

/// What can be repaired.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The index, and packs that are damaged
    Index,
}
