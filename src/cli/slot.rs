//! The slot of a command that a schedule has started: hidden options.

use clap::Args;

/// What the process that starts a command has decided.
#[derive(Args)]
pub(super) struct SlotArgs {
    /// Belong to this slot, in seconds since 1970
    #[arg(long, hide = true, value_name = "SECONDS", allow_hyphen_values = true)]
    pub slot: Option<i64>,

    /// Count as this attempt at the slot
    #[arg(long, hide = true, value_name = "N", default_value_t = 1)]
    pub attempt: u32,

    /// Count so many slots before it as missed
    #[arg(long, hide = true, value_name = "N", default_value_t = 0)]
    pub missed: u64,
}
