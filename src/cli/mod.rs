//! The command line: one file per command; here they are put together.

mod archive;
mod backup;
mod cat;
mod check;
mod completions;
mod context;
mod cost;
mod diff;
mod du;
mod entries;
mod failure;
mod filter;
mod find;
mod forget;
mod global;
mod history;
mod init;
mod interrupt;
mod key;
mod keyfile;
mod ls;
mod man;
#[cfg(feature = "mount")]
mod mount;
mod prune;
mod quickstart;
mod repair;
mod requests;
mod restore;
mod secret;
mod snap;
mod snapshots;
mod stats;
mod store;
mod streams;
mod thaw;
mod undelete;
mod views;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::settings::environment::Environment;
use crate::ui::Ui;
use context::Context;
use failure::{Exit, Failure};
use global::Global;
use requests::Requests;

/// Deduplicating, encrypted backups
///
/// Drumlin takes snapshots of folders, stores what is new in them once, compressed and encrypted, and gives back any file of any
/// snapshot. `drumlin quickstart` makes a first backup with nothing configured.
#[derive(Parser)]
#[command(name = "drumlin", version, arg_required_else_help = true, after_long_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: Global,

    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    error
  2    wrong usage or configuration
  3    done, but some source files could not be read (a snapshot exists), or do not fit into an archive
  4    damage was found
  5    the repository went back in time
  10   there is no repository
  12   wrong password or key
  13   not permitted
  130  interrupted";

#[derive(Subcommand)]
enum Command {
    Quickstart(quickstart::QuickstartArgs),
    Init(init::InitArgs),
    Backup(Box<backup::BackupArgs>),
    #[command(visible_alias = "list")]
    Snapshots(snapshots::SnapshotsArgs),
    Ls(ls::LsArgs),
    Cat(cat::CatArgs),
    Find(Box<find::FindArgs>),
    History(history::HistoryArgs),
    Diff(diff::DiffArgs),
    Du(du::DuArgs),
    Restore(restore::RestoreArgs),
    #[cfg(feature = "mount")]
    Mount(mount::MountArgs),
    Forget(Box<forget::ForgetArgs>),
    Undelete(undelete::UndeleteArgs),
    Check(check::CheckArgs),
    Prune(prune::PruneArgs),
    Repair(repair::RepairArgs),
    Stats(stats::StatsArgs),
    Cost(cost::CostArgs),
    Key(key::KeyArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Printing can only fail where nobody reads.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    // A core dump would put keys on the disk. Where the system refuses, nothing else is lost.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let env = Environment::of_process();
    let ui = Ui::new(cli.global.ui_options(), &env);
    if let Err(error) = interrupt::listen() {
        return Failure::new(Exit::Error, "cannot listen for signals").caused_by(&error).report(&ui).into();
    }
    let ctx = Context { global: cli.global, env, ui, requests: Requests::default() };
    let result = run(&ctx, cli.command);
    ctx.requests.tell(&ui);
    result.unwrap_or_else(|failure| failure.report(&ui)).into()
}

fn run(ctx: &Context, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Quickstart(args) => quickstart::run(ctx, &args),
        Command::Init(args) => init::run(ctx, args),
        Command::Backup(args) => backup::run(ctx, *args),
        Command::Snapshots(args) => snapshots::run(ctx, &args),
        Command::Ls(args) => ls::run(ctx, &args),
        Command::Cat(args) => cat::run(ctx, &args),
        Command::Find(args) => find::run(ctx, &args),
        Command::History(args) => history::run(ctx, &args),
        Command::Diff(args) => diff::run(ctx, &args),
        Command::Du(args) => du::run(ctx, &args),
        Command::Restore(args) => restore::run(ctx, args),
        #[cfg(feature = "mount")]
        Command::Mount(args) => mount::run(ctx, &args),
        Command::Forget(args) => forget::run(ctx, &args),
        Command::Undelete(args) => undelete::run(ctx, &args),
        Command::Check(args) => check::run(ctx, &args),
        Command::Prune(args) => prune::run(ctx, &args),
        Command::Repair(args) => repair::run(ctx, &args),
        Command::Stats(args) => stats::run(ctx, &args),
        Command::Cost(args) => cost::run(ctx, &args),
        Command::Key(args) => key::run(ctx, args),
        Command::Completions(args) => completions::run(ctx, &args, Cli::command()),
        Command::Man(args) => man::run(ctx, &args, Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
