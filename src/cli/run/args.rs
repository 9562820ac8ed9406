//! Arguments of `drumlin run`.

use clap::Args;

use crate::cli::slot::SlotArgs;

/// Back up apps as configured: hooks, dumps, files, retention
///
/// Without APP, runs all enabled apps of the configuration, some at once (`parallel` in [daemon]).
/// `drumlin run --due` from cron or a timer, every quarter of an hour, keeps their schedules;
/// `drumlin daemon` does so by itself.
#[derive(Args)]
pub(crate) struct RunArgs {
    /// Names of apps
    #[arg(value_name = "APP")]
    pub(super) apps: Vec<String>,

    /// Run only apps whose schedule says so
    #[arg(long)]
    pub(super) due: bool,

    /// Wait while another run of the app is under way
    #[arg(long)]
    pub(super) wait: bool,

    /// Read and count, but store nothing and run no hook
    #[arg(long, short = 'n')]
    pub(crate) dry_run: bool,

    /// Make a snapshot even if nothing changed
    #[arg(long)]
    pub(super) always_snapshot: bool,

    #[command(flatten)]
    pub(super) slot: SlotArgs,

    /// Print the report as it is remembered
    #[arg(long, hide = true)]
    pub(super) record: bool,
}
