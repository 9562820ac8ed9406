//! `drumlin daemon`: keeps the schedules of apps.
//!
//! It decides when, and nothing else: each run is a process of its own, which knows its slot and
//! settles it under the app's lock. So a death of the daemon ends no run, a run that hangs or leaks
//! is not the daemon's end, and what cron starts takes the same path.

mod besides;
mod keeper;
mod running;
mod service;
mod strangers;

use clap::Args;

use self::besides::Besides;
use self::keeper::{Keeper, refuse_unusable};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use crate::jobs::state::{DaemonDir, StateDir};

/// Keep the schedules of all apps
///
/// Runs until TERM or Ctrl-C, which stop what is under way. HUP reads the configuration again. The
/// table [daemon] of the configuration has its settings.
#[derive(Args)]
pub(super) struct DaemonArgs {
    /// Look at the clock every so many milliseconds
    #[arg(long, hide = true, value_name = "MS", default_value_t = 30_000)]
    look_ms: u64,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &DaemonArgs) -> Result<Exit, Failure> {
    let Some(dir) = ctx.connector.state_dir().map(StateDir::new) else {
        return Err(Failure::usage("there is no directory for the state of apps")
            .hint("set DRUMLIN_STATE_DIR"));
    };
    let home = DaemonDir::new(&dir);
    let failed = |error| Failure::file("lock", dir.path(), &error);
    let Some(_lock) = home.lock().map_err(failed)? else {
        let other = home.read().ok().flatten();
        let who = other.map_or_else(String::new, |other| format!(" (process {})", other.pid));
        let why = format!("another daemon is under way{who}");
        return Err(Failure::new(Exit::Locked, why)
            .hint("one daemon keeps the schedules of all apps of a state folder"));
    };
    let settings = ctx.connector.settings()?;
    refuse_unusable(ctx, &dir, &settings)?;
    let besides = Besides::new(ctx, dir.clone());
    // One sight waits at most: an older one is worth nothing.
    let (sights, seen) = crossbeam_channel::bounded(1);
    let mut keeper = Keeper::new(ctx, dir, settings, sights)?;
    std::thread::scope(|scope| {
        scope.spawn(|| besides.work(&seen));
        keeper.keep(std::time::Duration::from_millis(args.look_ms.max(1)), &|| besides.stop());
        // Its end of the channel ends the thread.
        drop(keeper);
    });
    Ok(Exit::Done)
}
