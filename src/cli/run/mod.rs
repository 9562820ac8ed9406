//! `drumlin run`: one cycle of apps, with hooks, dumps and retention.

mod aftermath;
pub(crate) mod report;
mod telling;

use clap::Args;

use self::aftermath::Aftermath;
use self::report::{RunsView, line_of};
use self::telling::Telling;
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, ended};
use super::global::PROGRAM;
use super::own_metrics::OwnMetrics;
use super::schedules::{DueRun, Schedules};
use crate::jobs::run::{AppRunner, RunEnd, RunError, RunRequest};
use crate::jobs::state::{RunRecord, RunStatus, StateDir};
use crate::settings::Settings;
use crate::text;
use crate::ui::event_log::EventLog;

/// How long to wait between two looks at the lock of an app.
const LOCK_WAIT: std::time::Duration = std::time::Duration::from_millis(200);

/// Back up apps as configured: hooks, dumps, files, retention
///
/// Without APP, runs all enabled apps of the configuration, one after another. `drumlin run --due`
/// from cron or a timer, every quarter of an hour, keeps their schedules.
#[derive(Args)]
pub(super) struct RunArgs {
    /// Names of apps
    #[arg(value_name = "APP")]
    apps: Vec<String>,

    /// Run only apps whose schedule says so
    #[arg(long)]
    due: bool,

    /// Wait while another run of the app is under way
    #[arg(long)]
    wait: bool,

    /// Read and count, but store nothing and run no hook
    #[arg(long, short = 'n')]
    pub dry_run: bool,

    /// Make a snapshot even if nothing changed
    #[arg(long)]
    always_snapshot: bool,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &RunArgs) -> Result<Exit, Failure> {
    let settings = ctx.connector.settings()?;
    let state_dir = ctx.connector.state_dir();
    let telling = Telling::new(ctx, &settings, state_dir.as_deref())?;
    let state = state_dir.map(StateDir::new);
    let (env, of_apps) = (&ctx.connector.env, state.as_ref());
    let aftermath = Aftermath {
        ui: &ctx.ui,
        metrics: OwnMetrics { env, settings: &settings, state: of_apps },
        log: EventLog::new(&settings.log),
    };
    let runner = AppRunner {
        connector: &ctx.connector,
        settings: &settings,
        state: state.as_ref(),
        scratch: std::env::temp_dir(),
        program: PROGRAM.to_owned(),
        threads: ctx.global.threads(),
        clock: text::now,
        on_begin: &|record| aftermath.began(record),
        on_read: &|record| telling.begins(record),
    };
    let due = plan(ctx, args, &settings, state.as_ref())?;
    let mut records = Vec::new();
    let (mut nice, mut cause) = (0, None);
    for one in due {
        nice = be_nice(&settings, &one.app, nice);
        let request = RunRequest {
            slot_s: one.slot_s,
            attempt: one.attempt,
            missed: one.missed,
            always_snapshot: args.always_snapshot,
            dry_run: args.dry_run,
            app: one.app,
        };
        let RunEnd { mut record, error } = run_app(ctx, args, &runner, &request)?;
        cause = error;
        if !args.dry_run {
            aftermath.ended(&mut record);
        }
        if !ctx.ui.json {
            tell(ctx, &record)?;
        }
        if !args.dry_run {
            telling.ended(&record);
        }
        let is_stopped = record.is_stopped;
        records.push(record);
        if is_stopped {
            break;
        }
    }
    if records.is_empty() && !args.dry_run {
        aftermath.idle();
    }
    let is_stopped = records.last().is_some_and(|record| record.is_stopped);
    if args.due && !args.dry_run && !is_stopped {
        telling.look();
    }
    let exit = match (is_stopped, cause.filter(|_| records.len() == 1)) {
        (true, _) => Exit::Interrupted,
        // That of `backup`, for one app.
        (false, Some(error)) => Failure::from(error).exit,
        (false, None) => exit_of(&records),
    };
    let told = match ctx.ui.json {
        true => ctx.ui.print_json(&RunsView::new(&records)),
        false if records.is_empty() => ctx.ui.say("no app is due"),
        false => Ok(()),
    };
    ended(exit, told.map_err(Failure::from))
}

/// Addend to the niceness of runs, if nothing else is configured.
const NICE_DEFAULT: i32 = 10;

/// Gives way to other programs as the app is configured, beyond what was given already; returns how
/// much is given.
fn be_nice(settings: &Settings, app: &str, given: i32) -> i32 {
    let configured = settings.apps.get(app).and_then(|app| app.run.nice);
    let wanted = configured.or(settings.defaults.run.nice).unwrap_or(NICE_DEFAULT).max(given);
    // Only a wish: a backup is made in any case.
    let _ = rustix::process::nice(wanted - given);
    wanted
}

/// Returns the runs that are wanted.
fn plan(
    ctx: &Context,
    args: &RunArgs,
    settings: &Settings,
    state: Option<&StateDir>,
) -> Result<Vec<DueRun>, Failure> {
    let names: Vec<String> = match args.apps.is_empty() {
        false => args.apps.clone(),
        true => {
            let is_enabled = |name: &&String| {
                let app = settings.apps[*name].clone().with_defaults(&settings.defaults);
                app.run.is_enabled != Some(false)
            };
            settings.apps.keys().filter(is_enabled).cloned().collect()
        }
    };
    if names.is_empty() {
        return Err(Failure::usage("the configuration has no app that is enabled")
            .hint("add [app.NAME] with `paths`; `drumlin run --help` says more"));
    }
    if !args.due {
        return Ok(names.into_iter().map(DueRun::by_hand).collect());
    }
    let schedules = Schedules { env: &ctx.connector.env, settings, is_dry: args.dry_run };
    schedules.due_of(&names, state, text::now().seconds)
}

fn run_app(
    ctx: &Context,
    args: &RunArgs,
    runner: &AppRunner,
    request: &RunRequest,
) -> Result<RunEnd, Failure> {
    loop {
        let (ended, monitor) =
            ctx.run("backing up", |monitor| Ok::<_, Failure>(runner.run(request, monitor)))?;
        match ended {
            Ok(end) => {
                if !ctx.ui.json {
                    ctx.ui.list_problems(&monitor);
                }
                return Ok(end);
            }
            Err(RunError::Locked(_)) if args.wait => std::thread::sleep(LOCK_WAIT),
            Err(error @ RunError::Locked(_)) => {
                return Err(Failure::of(Exit::Locked, &error).hint("--wait waits for its end"));
            }
            Err(RunError::Connect(error)) => return Err(error.into()),
        }
    }
}

/// Prints the outcome of a run; a failure goes to standard error.
fn tell(ctx: &Context, record: &RunRecord) -> Result<(), Failure> {
    for notice in &record.notices {
        ctx.ui.warn(&format!("{}: {notice}", record.app));
    }
    match &record.error {
        Some(error) => {
            let message = format!("app {} failed: {error}", record.app);
            Failure::new(Exit::Error, message).report(&ctx.ui);
            Ok(())
        }
        None => Ok(ctx.ui.say(&line_of(record))?),
    }
}

/// Returns the code of one run, or of the worst of several.
fn exit_of(records: &[RunRecord]) -> Exit {
    let of = |record: &RunRecord| match (record.status, &record.error) {
        (RunStatus::Failed, _) | (_, Some(_)) => Exit::Error,
        (RunStatus::Partial, _) => Exit::Unreadable,
        _ => Exit::Done,
    };
    let codes: Vec<Exit> = records.iter().map(of).collect();
    [Exit::Error, Exit::Unreadable]
        .into_iter()
        .find(|worst| codes.contains(worst))
        .unwrap_or(Exit::Done)
}
