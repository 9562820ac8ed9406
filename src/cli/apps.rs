//! `drumlin apps`: state of the configured apps.

mod daemon;
mod upkeep;

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use self::daemon::{DaemonView, KnownDaemon};
use self::upkeep::{KnownUpkeep, UpkeepView};
use super::channels::{self, ChannelView};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::labelled;
use super::run::report::{RunView, rfc3339};
use super::schedules::Schedules;
use crate::jobs::state::{AppState, RunStatus, StateDir, settle_death};
use crate::jobs::tell;
use crate::jobs::timetable::Timetable;
use crate::settings::app::AppSettings;
use crate::text;
use crate::ui::table::{Align, TextTable};

/// Most characters of an error in the table.
const ERROR_SHOWN_CHARS: usize = 100;

/// Show the state of each app: last good run, next run, errors
///
/// Reads this machine's state only, and asks no repository.
#[derive(Args)]
pub(super) struct AppsArgs {
    /// Names of apps; all, if none is given
    #[arg(value_name = "APP")]
    apps: Vec<String>,

    /// Exit with 1 if an app is overdue, or anything failed or died
    ///
    /// For health checks of containers and of monitors.
    #[arg(long)]
    healthy: bool,

    /// Acknowledge an alarm of an app, so that its retention goes on
    #[arg(long, value_name = "APP", conflicts_with_all = ["apps", "healthy"])]
    ack: Option<String>,
}

#[derive(Serialize)]
struct AppsView<'a> {
    apps: Vec<AppView<'a>>,
    channels: Vec<ChannelView<'a>>,
    upkeep: Vec<UpkeepView<'a>>,
    daemon: Option<DaemonView<'a>>,
}

#[derive(Serialize)]
struct AppView<'a> {
    app: &'a str,
    enabled: bool,
    status: Option<&'static str>,
    running: bool,
    overdue: bool,
    alarmed: bool,
    max_age_seconds: Option<i64>,
    next: Option<String>,
    failures: u32,
    missed_total: u64,
    last: Option<RunView<'a>>,
    repositories: Vec<GoodView<'a>>,
}

#[derive(Serialize)]
struct GoodView<'a> {
    name: &'a str,
    good: Option<String>,
    snapshot: Option<&'a str>,
}

/// One app: its settings, merged with the defaults, and its state.
struct Known {
    name: String,
    app: AppSettings,
    state: AppState,
    is_running: bool,
    next_s: Option<i64>,
    max_age_s: Option<i64>,
    now_s: i64,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &AppsArgs) -> Result<Exit, Failure> {
    let (settings, has_faults) = labelled::settings_of(ctx, &args.apps)?;
    let Some(state_dir) = ctx.connector.state_dir() else {
        return Err(Failure::usage("there is no directory for the state of apps")
            .hint("set DRUMLIN_STATE_DIR"));
    };
    let (health, dir) = (tell::health(&state_dir), StateDir::new(state_dir));
    if let Some(app) = &args.ack {
        if !settings.apps.contains_key(app) {
            let why = format!("there is no [app.{app}] in the configuration");
            return Err(Failure::usage(why));
        }
        return acknowledge(ctx, &dir, app);
    }
    let names: Vec<String> = match args.apps.is_empty() {
        true => settings.apps.keys().cloned().collect(),
        false => args.apps.clone(),
    };
    let schedules = Schedules { env: &ctx.connector.env, settings: &settings, is_dry: true };
    let now_s = text::now().seconds;
    let known = names.into_iter().map(|name| {
        let app = settings.apps.get(&name).ok_or_else(|| {
            Failure::usage(format!("there is no [app.{name}] in the configuration"))
        })?;
        let app = app.clone().with_defaults(&settings.defaults);
        let Timetable { schedule, max_age_s } = schedules.times_of(&name, &app)?;
        let failed = |error| Failure::file("read", &dir.app_dir(&name), &error);
        let mut state = dir.read(&name).map_err(failed)?;
        let is_running = state.began.is_some() && dir.is_locked(&name).map_err(failed)?;
        if !is_running {
            // A run that died; the next look at the schedule writes it.
            settle_death(&name, &mut state);
        }
        Ok(Known { next_s: schedule.next_s(now_s), max_age_s, name, app, state, is_running, now_s })
    });
    let known = known.collect::<Result<Vec<Known>, Failure>>()?;
    let upkeep = KnownUpkeep::read(&schedules, &dir, now_s)?;
    let daemon = KnownDaemon::read(&dir, now_s)?;
    match ctx.ui.json {
        true => ctx.ui.print_json(&AppsView {
            apps: known.iter().map(view_of).collect(),
            channels: channels::view_of(&health),
            upkeep: upkeep.iter().map(KnownUpkeep::view).collect(),
            daemon: daemon.as_ref().map(KnownDaemon::view),
        })?,
        false if known.is_empty() => ctx.ui.say("the configuration has no app")?,
        false => ctx.ui.say(&table_of(&known).join("\n"))?,
    }
    for line in channels::lines_of(&health, now_s) {
        ctx.ui.say(&line)?;
    }
    let of_daemon = daemon.iter().flat_map(KnownDaemon::troubles);
    for trouble in upkeep.iter().filter_map(KnownUpkeep::trouble).chain(of_daemon) {
        ctx.ui.warn(&trouble);
    }
    for one in &known {
        for alarm in &one.state.alarms {
            let (app, what) = (&one.name, &alarm.what);
            ctx.ui.warn(&format!("{app}: {what}: `drumlin apps --ack {app}` lets retention go on"));
        }
    }
    let is_ill = |known: &Known| known.is_enabled() && (known.is_overdue() || known.is_failing());
    let is_still = labelled::tell_stopped(ctx, &dir, known.iter().map(|known| &known.name));
    let is_ill = is_still
        || known.iter().any(is_ill)
        || upkeep.iter().any(KnownUpkeep::is_ill)
        || daemon.is_some_and(|daemon| daemon.is_ill());
    Ok(labelled::with_faults(Exit::Done, args.healthy && is_ill || has_faults))
}

fn acknowledge(ctx: &Context, dir: &StateDir, app: &str) -> Result<Exit, Failure> {
    let failed = |error| Failure::file("write", &dir.app_dir(app), &error);
    let Some(_lock) = dir.lock(app).map_err(failed)? else {
        return Err(Failure::new(Exit::Locked, format!("a run of `{app}` is under way")));
    };
    let state = dir.read(app).map_err(failed)?;
    if !state.is_alarmed {
        ctx.ui.say(&format!("{app} has no alarm"))?;
        return Ok(Exit::Done);
    }
    // The next run, or the next look, tells that the alarm ended.
    let state = AppState { is_alarmed: false, alarms: Vec::new(), ..state };
    dir.write(app, &state).map_err(failed)?;
    ctx.ui.say(&format!("{app}: retention goes on with the next run"))?;
    Ok(Exit::Done)
}

impl Known {
    fn is_enabled(&self) -> bool {
        self.app.run.is_enabled != Some(false)
    }

    /// Returns whether there was no good run for too long, by the rule of metrics and messages.
    fn is_overdue(&self) -> bool {
        let since_s = self.state.counters.known_since_s;
        let limit_s = self.state.overdue_after_s(self.max_age_s, since_s);
        limit_s.is_some_and(|limit_s| self.now_s > limit_s)
    }

    fn is_failing(&self) -> bool {
        self.state.last.as_ref().is_some_and(|last| last.status == RunStatus::Failed)
    }

    fn status(&self) -> String {
        match &self.state.last {
            _ if self.is_running => "running".to_owned(),
            _ if !self.is_enabled() => "disabled".to_owned(),
            None => "never ran".to_owned(),
            Some(last) if last.status.is_good() && self.is_overdue() => "overdue".to_owned(),
            Some(last) if last.status.is_good() && self.state.is_alarmed => "alarm".to_owned(),
            Some(last) => last.status.name().to_owned(),
        }
    }
}

fn view_of(known: &Known) -> AppView<'_> {
    let state = &known.state;
    let repositories = state.repositories.iter().map(|(name, known)| GoodView {
        name,
        good: known.good.as_ref().and_then(|good| rfc3339(good.at_s)),
        snapshot: known.good.as_ref().map(|good| good.snapshot.as_str()),
    });
    AppView {
        app: &known.name,
        enabled: known.is_enabled(),
        status: state.last.as_ref().map(|last| last.status.name()),
        running: known.is_running,
        overdue: known.is_overdue(),
        alarmed: state.is_alarmed,
        max_age_seconds: known.max_age_s,
        next: known.next_s.and_then(rfc3339),
        failures: state.failures,
        missed_total: state.missed_total,
        last: state.last.as_ref().map(RunView::new),
        repositories: repositories.collect(),
    }
}

/// Returns the first line of an error, cut so that the table stays one; JSON has all of it.
fn brief(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    match line.char_indices().nth(ERROR_SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn table_of(known: &[Known]) -> Vec<String> {
    let mut table = TextTable::new(&[
        ("app", Align::Left),
        ("status", Align::Left),
        ("last good", Align::Left),
        ("next run", Align::Left),
        ("size", Align::Right),
        ("added", Align::Right),
        ("error", Align::Left),
    ]);
    for one in known {
        let last = one.state.last.as_ref();
        let time =
            |seconds| text::local_time(crate::format::entry::Timestamp { seconds, nanos: 0 });
        let ago = |at_s: i64| {
            let age = Duration::from_secs(u64::try_from(one.now_s - at_s).unwrap_or(0));
            format!("{} ago", text::duration(age))
        };
        table.row(vec![
            one.name.clone(),
            one.status(),
            one.state.good_s().map_or_else(|| "never".to_owned(), ago),
            one.next_s.map_or_else(|| "by hand".to_owned(), time),
            last.map_or_else(String::new, |last| text::size(last.bytes)),
            last.map_or_else(String::new, |last| text::size(last.bytes_added)),
            last.and_then(|last| last.error.as_deref()).map(brief).unwrap_or_default(),
        ]);
    }
    table.lines()
}
