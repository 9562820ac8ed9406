//! Configuration with the apps that labels of containers describe.

use std::path::Path;

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use crate::jobs::containers::{AppFault, Started, left_of, start_left, with_labelled};
use crate::jobs::state::StateDir;
use crate::settings::Settings;

/// Reads the configuration with the apps of labels, and reports what is wrong with those among the
/// apps of these names, or with any if there are no names. Returns whether something is.
pub(super) fn settings_of(ctx: &Context, names: &[String]) -> Result<(Settings, bool), Failure> {
    let (settings, faults) = with_labelled(ctx.connector.settings()?, &ctx.connector.env);
    let is_known = |name: &String| settings.apps.contains_key(name);
    let concerns = |fault: &&AppFault| match &fault.app {
        _ if names.is_empty() => true,
        Some(app) => names.contains(app),
        // It may be one that is not known.
        None => !names.iter().all(is_known),
    };
    let mut has_faults = false;
    for fault in faults.iter().filter(concerns) {
        failure_of(fault).report(&ctx.ui);
        has_faults = true;
    }
    Ok((settings, has_faults))
}

/// Returns the failure that a fault is.
pub(super) fn failure_of(fault: &AppFault) -> Failure {
    let failure = Failure::new(Exit::Error, &fault.message);
    match &fault.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Starts containers that earlier runs left stopped, and reports it. Returns whether some could
/// not be started.
pub(super) fn start_stopped(ctx: &Context, state_dir: &Path) -> bool {
    let Started { notices, failures } = start_left(&StateDir::new(state_dir));
    for notice in notices {
        ctx.ui.warn(&notice);
    }
    for failure in &failures {
        Failure::new(Exit::Error, failure).report(&ctx.ui);
    }
    !failures.is_empty()
}

/// Warns about containers of these apps that earlier runs left stopped. Returns whether there
/// are any.
pub(super) fn tell_stopped<'a>(
    ctx: &Context,
    dir: &StateDir,
    apps: impl Iterator<Item = &'a String>,
) -> bool {
    let mut are_some = false;
    for app in apps {
        let told = match left_of(dir, app) {
            Ok(names) if names.is_empty() => continue,
            Ok(names) => format!(
                "{app}: containers stand still since an earlier run: {}; the next `drumlin run` \
                 starts them",
                names.join(", ")
            ),
            Err(error) => format!("{app}: the note of stopped containers: {error}"),
        };
        ctx.ui.warn(&told);
        are_some = true;
    }
    are_some
}

/// Returns the exit code of a command in addition to which something else went wrong.
pub(super) fn with_faults(exit: Exit, has_faults: bool) -> Exit {
    match exit {
        Exit::Done | Exit::Unreadable if has_faults => Exit::Error,
        other => other,
    }
}
