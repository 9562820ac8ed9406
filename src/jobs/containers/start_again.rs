//! Start of containers that a run stopped, at its end or after its death.

use std::io;

use crate::jobs::state::{StateDir, StoppedContainer, StoppedContainers};
use crate::monitor::in_words;
use crate::sources::engine_api::{Engine, Error};

/// Containers that were started again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Started {
    /// What was started, or is gone; for people.
    pub notices: Vec<String>,
    /// What could not be started, and so stands still; for people.
    pub failures: Vec<String>,
}

/// Starts all containers that runs of any app stopped and did not start again, because they died or
/// could not.
///
/// What cannot be started stays noted, and the next call tries again. Apps whose run is under way
/// are left alone.
pub fn start_left(dir: &StateDir) -> Started {
    let mut all = Started::default();
    let apps = dir.apps_with_stopped().unwrap_or_else(|error| {
        all.failures.push(format!("cannot look for containers that a run stopped: {error}"));
        Vec::new()
    });
    for app in apps {
        let started = dir.try_lock(&app).and_then(|lock| {
            // Its run is under way, or has ended since.
            let Some((_lock, noted)) = lock.zip(dir.stopped(&app)?) else { return Ok(None) };
            Ok(Some(start_again(dir, &app, &noted)))
        });
        match started {
            Ok(None) => {}
            Ok(Some((names, mut started))) => {
                let told = |name| {
                    format!("{app}: container `{name}` stood still since an earlier run: started")
                };
                all.notices.extend(names.into_iter().map(told));
                all.notices.append(&mut started.notices);
                all.failures.append(&mut started.failures);
            }
            Err(error) => {
                let why = format!("{app}: cannot start what an earlier run stopped: {error}");
                all.failures.push(why);
            }
        }
    }
    all
}

/// Returns the names of containers that an earlier run of an app stopped and did not start again.
pub fn left_of(dir: &StateDir, app: &str) -> io::Result<Vec<String>> {
    let Some(noted) = dir.stopped(app)? else { return Ok(Vec::new()) };
    let is_under_way = dir.is_locked(app)?;
    let names = noted.containers.into_iter().map(|container| container.name);
    Ok(names.filter(|_| !is_under_way).collect())
}

/// Starts what is noted, the last one first, and removes from the note what runs. Returns the names
/// of those that stood still, and what else is to be told.
///
/// The caller holds the app's lock.
pub(super) fn start_again(
    dir: &StateDir,
    app: &str,
    noted: &StoppedContainers,
) -> (Vec<String>, Started) {
    let engine = Engine::new(&noted.socket);
    let (mut names, mut started) = (Vec::new(), Started::default());
    let mut left: Vec<StoppedContainer> = Vec::new();
    for container in noted.containers.iter().rev() {
        let name = &container.name;
        match engine.start(&container.id) {
            Ok(true) => names.push(name.clone()),
            Ok(false) => {}
            Err(Error::Refused { status: 404, .. }) => {
                let gone = format!("{app}: container `{name}`, which a run stopped, is gone");
                started.notices.push(gone);
            }
            Err(error) => {
                let hint = format!("`docker start {name}` or the next run starts it");
                let why = in_words(&error);
                started.failures.push(format!("{app}: `{name}` stands still: {why}; {hint}"));
                left.insert(0, container.clone());
            }
        }
    }
    let kept = match left.is_empty() {
        true => dir.forget_stopped(app),
        false => dir.note_stopped(app, &StoppedContainers::new(noted.socket.clone(), left)),
    };
    if let Err(error) = kept {
        let why = format!("{app}: the note of stopped containers cannot be changed: {error}");
        started.notices.push(why);
    }
    (names, started)
}
