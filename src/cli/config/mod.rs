//! `drumlin config`: what the configuration says, and whether it works.

mod check;
mod show;

use clap::{Args, Subcommand};

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;

/// Check the configuration, or show what holds after defaults
#[derive(Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Check all that can be known before the night
    ///
    /// Opens each repository, logs in to each database, looks for programs, rights and paths, and
    /// shows the next runs. Nothing is changed. Exits with 2 if anything is an error.
    Check(check::CheckArgs),
    /// Show what holds after defaults, as TOML, without secrets
    ///
    /// What is printed can be read again and means the same, except for secrets. Commands are shown
    /// as they are written.
    Show(show::ShowArgs),
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &ConfigArgs) -> Result<Exit, Failure> {
    match &args.command {
        ConfigCommand::Check(args) => check::run(ctx, args),
        ConfigCommand::Show(args) => show::run(ctx, args),
    }
}
