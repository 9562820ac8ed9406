//! Runs as tasks of child processes: what they exclude, and their command lines.

use std::ffi::OsString;

use crate::cli::context::Context;
use crate::cli::schedules::DueRun;
use crate::connect::{RepositoryPlace, SecretSource};
use crate::jobs::daemon::Task;
use crate::jobs::upkeep::Upkeep;
use crate::settings::Settings;

/// Returns the task that a run is.
///
/// One whose repository is not known excludes nothing: the run itself says what is wrong.
pub(crate) fn task_of(ctx: &Context, settings: &Settings, due: &DueRun) -> Task {
    let place = match due.upkeep {
        None => place_of(ctx, settings, &due.app),
        // With `--repo` every name is that repository.
        Some(_) if ctx.connector.options.repo.is_some() => None,
        Some(_) => ctx.connector.place(settings, Some(&due.app)).ok(),
    };
    let is_near = place.as_ref().is_none_or(|place| place.local_dir().is_some());
    let repository = place.map_or_else(String::new, |place| place.shown());
    let is_shared = is_near && due.upkeep.is_none();
    Task { name: due.name(), slot_s: due.slot_s, repository, is_shared }
}

/// Returns the command line of a run or an upkeep, after the global options.
pub(crate) fn words_of(settings: &Settings, due: &DueRun) -> Vec<OsString> {
    let mut words = match due.upkeep {
        None => vec![OsString::from("run"), OsString::from(&due.app)],
        Some(upkeep) => {
            let mut words = vec![OsString::from(upkeep.command())];
            words.push(format!("--repo={}", due.app).into());
            words
        }
    };
    let upkeep = settings.repositories.get(&due.app).map(|repository| &repository.upkeep);
    let level = upkeep.and_then(|upkeep| upkeep.level.as_ref());
    if let Some(level) = level.filter(|_| due.upkeep == Some(Upkeep::Check)) {
        words.push(format!("--level={level}").into());
    }
    if let Some(slot_s) = due.slot_s {
        words.push(format!("--slot={slot_s}").into());
        words.push(format!("--attempt={}", due.attempt).into());
        words.push(format!("--missed={}", due.missed).into());
    }
    words
}

/// Returns whether a password must be typed for any of these apps, which only one process can ask
/// for at a time.
pub(super) fn asks_for_password(ctx: &Context, settings: &Settings, due: &[DueRun]) -> bool {
    due.iter().any(|due| {
        let place = place_of(ctx, settings, &due.app);
        let source = place.and_then(|place| ctx.connector.secret_source(&place).ok());
        source == Some(SecretSource::Prompt)
    })
}

fn place_of(ctx: &Context, settings: &Settings, app: &str) -> Option<RepositoryPlace> {
    let app = settings.apps.get(app)?.clone().with_defaults(&settings.defaults);
    ctx.connector.place(settings, app.repositories.first().map(String::as_str)).ok()
}
