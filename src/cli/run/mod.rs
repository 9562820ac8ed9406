//! `drumlin run`: one cycle of apps, with hooks, dumps and retention.

mod aftermath;
mod args;
mod many;
pub(crate) mod report;
pub(crate) mod tasks;
mod telling;

use std::collections::BTreeSet;

use self::aftermath::Aftermath;
pub(crate) use self::args::RunArgs;
use self::many::Outcome;
use self::report::{RunsView, death_of, tell};
use self::telling::Telling;
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, ended};
use super::global::PROGRAM;
use super::labelled;
use super::own_metrics::OwnMetrics;
use super::schedules::{DueRun, Schedules};
use super::slot::SlotArgs;
use crate::jobs::run::{AppRunner, RunEnd, RunError, RunRequest};
use crate::jobs::state::{RunRecord, RunStatus, StateDir};
use crate::settings::Settings;
use crate::text;
use crate::ui::event_log::EventLog;

/// How long to wait between two looks at the lock of an app.
const LOCK_WAIT: std::time::Duration = std::time::Duration::from_millis(200);

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &RunArgs) -> Result<Exit, Failure> {
    let state_dir = ctx.connector.state_dir();
    // What one of several does, the one that started it has done.
    let stopped_in = state_dir.as_ref().filter(|_| !args.dry_run && !args.record);
    let stands_still = stopped_in.is_some_and(|dir| labelled::start_stopped(ctx, dir));
    let (settings, has_faults) = labelled::settings_of(ctx, &args.apps)?;
    let telling = Telling::new(ctx, &settings, state_dir.as_deref())?;
    let state = state_dir.map(StateDir::new);
    let (env, of_apps) = (&ctx.connector.env, state.as_ref());
    let aftermath = Aftermath {
        ui: &ctx.ui,
        metrics: OwnMetrics { env, settings: &settings, state: of_apps },
        log: EventLog::new(&settings.log),
    };
    let (due, is_troubled) = plan(ctx, args, &settings, of_apps)?;
    let is_idle = due.is_empty() && !is_troubled;
    let is_several = due.len() > 1 && settings.daemon.parallel > 1;
    let has_upkeep = due.iter().any(|due| due.upkeep.is_some());
    let Outcome { records, exit } =
        match has_upkeep || is_several && !tasks::asks_for_password(ctx, &settings, &due) {
            true => many::run(ctx, args, &settings, &due)?,
            false => {
                let around = Around { state: of_apps, aftermath: &aftermath, telling: &telling };
                run_here(ctx, args, &settings, due, &around)?
            }
        };
    if records.is_empty() && !args.dry_run {
        aftermath.idle();
    }
    if args.due && !args.dry_run && exit != Exit::Interrupted {
        telling.look();
    }
    let told = match ctx.ui.json {
        _ if args.record => records.iter().try_for_each(|record| {
            // What a child found goes to its parent as it is remembered.
            ctx.ui.print(&serde_json::to_string(record).expect("a report is JSON"))
        }),
        true => ctx.ui.print_json(&RunsView::new(&records)),
        false if is_idle => ctx.ui.say("no app is due"),
        false => Ok(()),
    };
    let exit = if is_troubled && exit == Exit::Done { Exit::Error } else { exit };
    let exit = labelled::with_faults(exit, stands_still || has_faults);
    ended(exit, told.map_err(Failure::from))
}

/// Those who hear of runs in this process, and where runs are remembered.
struct Around<'a> {
    state: Option<&'a StateDir>,
    aftermath: &'a Aftermath<'a>,
    telling: &'a Telling<'a>,
}

/// Runs apps in this process, one after another.
fn run_here(
    ctx: &Context,
    args: &RunArgs,
    settings: &Settings,
    due: Vec<DueRun>,
    around: &Around<'_>,
) -> Result<Outcome, Failure> {
    let Around { aftermath, telling, .. } = around;
    let runner = AppRunner {
        connector: &ctx.connector,
        settings,
        state: around.state,
        scratch: std::env::temp_dir(),
        program: PROGRAM.to_owned(),
        threads: ctx.global.threads(),
        clock: text::now,
        on_begin: &|record| aftermath.began(record),
        on_read: &|record| telling.begins(record),
    };
    let mut records: Vec<RunRecord> = Vec::new();
    let (mut nice, mut cause) = (0, None);
    for one in due {
        nice = be_nice(settings, &one.app, nice);
        let request = RunRequest {
            slot_s: one.slot_s,
            attempt: one.attempt,
            missed: one.missed,
            always_snapshot: args.always_snapshot,
            dry_run: args.dry_run,
            app: one.app,
        };
        let Some(RunEnd { mut record, error }) = run_app(ctx, args, &runner, &request)? else {
            continue;
        };
        cause = error;
        if !args.dry_run {
            aftermath.ended(&mut record);
        }
        if !ctx.ui.json && !args.record {
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
    let is_stopped = records.last().is_some_and(|record| record.is_stopped);
    let exit = match (is_stopped, cause.filter(|_| records.len() == 1)) {
        (true, _) => Exit::Interrupted,
        // That of `backup`, for one app.
        (false, Some(error)) => Failure::from(error).exit,
        (false, None) => exit_of(&records),
    };
    Ok(Outcome { records, exit })
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

/// Returns the runs that are wanted, and whether the schedule of an app cannot be kept, which is
/// said.
fn plan(
    ctx: &Context,
    args: &RunArgs,
    settings: &Settings,
    state: Option<&StateDir>,
) -> Result<(Vec<DueRun>, bool), Failure> {
    let schedules = Schedules { env: &ctx.connector.env, settings, is_dry: args.dry_run };
    let names = match args.apps.is_empty() {
        false => args.apps.clone(),
        true => schedules.enabled_apps(),
    };
    schedules.refuse_unknown(&names)?;
    let is_all = args.due && args.apps.is_empty() && !args.dry_run;
    let has_upkeep = is_all && !schedules.upkeep()?.is_empty();
    // Apps of labels may come again, and those that are gone are to be told.
    let may_come = args.due && settings.labelled.is_some();
    if names.is_empty() && !has_upkeep && !may_come {
        return Err(Failure::usage("the configuration has no app that is enabled")
            .hint("add [app.NAME] with `paths`; `drumlin run --help` says more"));
    }
    let SlotArgs { slot: slot_s, attempt, missed } = args.slot;
    if !args.due {
        let run = |app| match slot_s {
            Some(_) => DueRun { slot_s, attempt, missed, ..DueRun::by_hand(app) },
            None => DueRun::by_hand(app),
        };
        return Ok((names.into_iter().map(run).collect(), false));
    }
    let now_s = text::now().seconds;
    let mut look = schedules.look(&names, state, now_s)?;
    if let Some(state) = state.filter(|_| has_upkeep) {
        schedules.look_at_repositories(state, &[], now_s, &mut look);
    }
    for lost in &look.deaths {
        ctx.ui.warn(&death_of(lost));
    }
    let notices: BTreeSet<&String> = look.notices.iter().collect();
    notices.into_iter().for_each(|notice| ctx.ui.warn(notice));
    let is_troubled = !look.troubles.is_empty();
    for trouble in &look.troubles {
        trouble.report(&ctx.ui);
    }
    Ok((look.due, is_troubled))
}

fn run_app(
    ctx: &Context,
    args: &RunArgs,
    runner: &AppRunner,
    request: &RunRequest,
) -> Result<Option<RunEnd>, Failure> {
    loop {
        let (ended, monitor) =
            ctx.run("backing up", |monitor| Ok::<_, Failure>(runner.run(request, monitor)))?;
        match ended {
            Ok(end) => {
                if !ctx.ui.json {
                    ctx.ui.list_problems(&monitor);
                }
                return Ok(Some(end));
            }
            Err(RunError::Locked(_)) if args.wait => std::thread::sleep(LOCK_WAIT),
            Err(error @ RunError::Locked(_)) => {
                return Err(Failure::of(Exit::Locked, &error).hint("--wait waits for its end"));
            }
            Err(error @ RunError::Settled(_)) => {
                ctx.ui.detail(&error.to_string());
                return Ok(None);
            }
            Err(RunError::Connect(error)) => return Err(error.into()),
        }
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
