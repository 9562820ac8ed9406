//! Command line: one file per command.

mod apps;
mod backup;
mod cat;
mod channels;
mod check;
mod completions;
mod config;
mod context;
mod cost;
mod daemon;
mod diff;
mod du;
mod entry_view;
mod exit;
mod failure;
mod filter;
mod find;
mod forget;
mod global;
mod history;
mod init;
mod interrupt;
mod json_views;
mod key;
mod key_shares;
mod keyfile;
mod labelled;
mod ls;
mod man;
#[cfg(feature = "mount")]
mod mount;
mod own_metrics;
mod processes;
mod prune;
mod quickstart;
mod repair;
mod repository_notes;
mod requests;
mod restore;
mod run;
mod schedules;
mod series_filter;
mod slot;
mod snapshot_spec;
mod snapshots;
mod stats;
mod tilde;
mod undelete;
mod upkeep;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::jobs::upkeep::Upkeep;
use crate::settings::environment::Environment;
use crate::text;
use crate::ui::output::write_stderr;
use crate::ui::{Ui, json};
use context::Context;
use exit::Exit;
use failure::Failure;
use global::Global;

/// Fast, deduplicated, encrypted backups
///
/// Drumlin takes snapshots of folders, stores new data once, compressed and encrypted, and restores
/// any file of any snapshot. `drumlin quickstart` makes a first backup without any configuration.
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
  3    done, but some files could not be read or archived (the snapshot exists)
  4    damage found
  5    repository rollback detected, or another repository answers
  10   no repository
  11   another run of the app, or another daemon, is under way
  12   wrong password or key
  13   not permitted
  130  interrupted";

#[derive(Subcommand)]
enum Command {
    Quickstart(quickstart::QuickstartArgs),
    Init(init::InitArgs),
    Backup(Box<backup::BackupArgs>),
    Run(run::RunArgs),
    Apps(apps::AppsArgs),
    Daemon(daemon::DaemonArgs),
    Config(config::ConfigArgs),
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
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error).into(),
    };
    // A core dump would write keys to the disk. Failure is acceptable.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // This also covers dumps that are piped to a program, and denies other programs of this user
    // access to memory and environment.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let env = Environment::of_process();
    let ui = Ui::new(cli.global.ui_options(), &env);
    let listens = match &cli.command {
        Command::Daemon(_) => interrupt::listen_for_daemon(),
        _ => interrupt::listen(),
    };
    if let Err(error) = listens {
        return Failure::new(Exit::Error, "cannot listen for signals")
            .caused_by(&error)
            .report(&ui)
            .into();
    }
    let is_dry = cli.command.is_dry();
    let ctx = Context::new(cli.global.complete(&env), env, ui, is_dry);
    let result =
        tilde::refuse_in_variables(&ctx.connector.env).and_then(|()| run(&ctx, cli.command));
    requests::tell(&ui, ctx.connector.requests.counts());
    match result {
        Ok(Exit::Done | Exit::Unreadable | Exit::Error) if ui.has_told_damage() => Exit::Damage,
        Err(failure) if failure.silent && ui.has_told_damage() => Exit::Damage,
        Ok(exit) => exit,
        Err(failure) => failure.report(&ui),
    }
    .into()
}

fn parse() -> Result<Cli, clap::Error> {
    let mut command = tilde::refuse_in(Cli::command());
    let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// Prints an error of the command line, or the requested help.
fn refuse(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // A failure to print is ignored.
        let _ = error.print();
        return Exit::Done;
    }
    let plain = error.render().to_string();
    // Parsing failed, so the raw arguments are searched.
    if std::env::args_os().any(|argument| argument == "--json-progress") {
        let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        write_stderr(&format!(
            "{}\n",
            json::line(&usage_error(if is_help { "no command is given" } else { &plain }))
        ));
    } else if std::env::args_os().all(|argument| {
        argument.to_str().is_some_and(|argument| text::harmless(argument) == argument)
    }) {
        let _ = error.print();
    } else {
        // The first part quotes arguments.
        let (message, rest) = plain.split_once("\n\n").unwrap_or((&plain, ""));
        write_stderr(&format!(
            "{}\n\n{}",
            text::harmless(message.trim_end()),
            text::harmless_lines(rest)
        ));
    }
    Exit::Usage
}

/// Returns the JSON line of a command line error: the first line is the message, the rest the hint.
fn usage_error(plain: &str) -> serde_json::Value {
    let mut lines = plain.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("wrong usage");
    let message = first.strip_prefix("error: ").unwrap_or(first);
    let hint = lines.collect::<Vec<_>>().join("\n");
    let hint = Some(hint).filter(|hint| !hint.is_empty());
    let no_causes: [&str; 0] = [];
    serde_json::json!({
        "event": "error",
        "message": message,
        "causes": no_causes,
        "hint": hint,
        "exit_code": Exit::Usage as u8,
    })
}

impl Command {
    /// Returns whether it is a dry run, which changes nothing, including this machine's records.
    fn is_dry(&self) -> bool {
        match self {
            Self::Backup(args) => args.dry_run,
            Self::Run(args) => args.dry_run,
            Self::Restore(args) => args.is_dry(),
            Self::Forget(args) => args.dry_run || args.simulate.is_some(),
            Self::Prune(args) => args.dry_run,
            Self::Repair(args) => !args.apply,
            Self::Config(_) => true,
            // These have no dry run.
            Self::Quickstart(_)
            | Self::Init(_)
            | Self::Apps(_)
            | Self::Daemon(_)
            | Self::Snapshots(_)
            | Self::Ls(_)
            | Self::Cat(_)
            | Self::Find(_)
            | Self::History(_)
            | Self::Diff(_)
            | Self::Du(_)
            | Self::Undelete(_)
            | Self::Check(_)
            | Self::Stats(_)
            | Self::Cost(_)
            | Self::Key(_)
            | Self::Completions(_)
            | Self::Man(_) => false,
            #[cfg(feature = "mount")]
            Self::Mount(_) => false,
        }
    }
}

fn run(ctx: &Context, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Quickstart(args) => quickstart::run(ctx, &args),
        Command::Init(args) => init::run(ctx, args),
        Command::Backup(args) => backup::run(ctx, *args),
        Command::Run(args) => run::run(ctx, &args),
        Command::Apps(args) => apps::run(ctx, &args),
        Command::Daemon(args) => daemon::run(ctx, &args),
        Command::Config(args) => config::run(ctx, &args),
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
        Command::Check(args) => {
            upkeep::in_slot(ctx, &args.slot, Upkeep::Check, || check::run(ctx, &args))
        }
        Command::Prune(args) => {
            upkeep::in_slot(ctx, &args.slot, Upkeep::Prune, || prune::run(ctx, &args))
        }
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

    /// What `-h` says of a command or an option is one line of a terminal.
    #[test]
    fn help_is_short() {
        fn check(command: &clap::Command, long: &mut Vec<String>) {
            let of_options = command.get_arguments().filter_map(clap::Arg::get_help);
            let all = command.get_about().into_iter().chain(of_options).map(ToString::to_string);
            long.extend(all.filter(|help| help.chars().count() > 72));
            command.get_subcommands().for_each(|command| check(command, long));
        }
        let mut long = Vec::new();
        check(&Cli::command(), &mut long);
        assert_eq!(long, Vec::<String>::new());
    }

    #[test]
    fn wrong_usage_is_a_json_line_too() {
        let error = Cli::try_parse_from(["drumlin", "backup", "--nope"]).err().unwrap();
        let line = usage_error(&error.render().to_string());
        assert_eq!((&line["event"], &line["exit_code"]), (&"error".into(), &2.into()));
        assert!(line["message"].as_str().unwrap().contains("'--nope'"), "{line}");
        assert!(line["hint"].as_str().unwrap().contains("--help"), "{line}");
    }
}
