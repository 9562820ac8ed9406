//! `drumlin completions`: a script that completes commands and options in a shell.

use clap::{Args, Command};
use clap_complete::Shell;

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use crate::ui::output::BufferedStdout;

/// Print a completion script for a shell
///
/// For bash: drumlin completions bash > /etc/bash_completion.d/drumlin
#[derive(Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command; `definition` is the whole command line.
pub(super) fn run(
    _: &Context,
    args: &CompletionsArgs,
    mut definition: Command,
) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut definition, "drumlin", &mut script);
    let mut out = BufferedStdout::open()?;
    out.write_bytes(&script)?;
    out.finish()?;
    Ok(Exit::Done)
}
