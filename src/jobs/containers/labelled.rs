//! Apps that labels of containers describe, asked of their engine.

use std::path::PathBuf;

use super::place::EnginePlace;
use crate::monitor::in_words;
use crate::settings::Settings;
use crate::settings::environment::Environment;
use crate::settings::labels::{ContainerLabels, LabelError, LabelFault, LabelledContainer};
use crate::sources::engine_api::{Container, Engine, Error, mounts_to_read};

/// Why an app of labels, or all of them, cannot be backed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppFault {
    /// The app; `None` if it is not known.
    pub app: Option<String>,
    /// Whether nothing is known of any labels.
    pub is_of_engine: bool,
    /// The fault, for people.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// Adds the apps that labels of containers describe, if the configuration asks for them.
///
/// An engine that does not answer is a fault, and so is a mistake in labels; the other apps are
/// there. The caller tells all faults.
pub fn with_labelled(mut settings: Settings, env: &Environment) -> (Settings, Vec<AppFault>) {
    if !settings.docker.has_labels {
        return (settings, Vec::new());
    }
    let unknown = |message, hint| vec![AppFault { app: None, is_of_engine: true, message, hint }];
    let engine = match (EnginePlace { docker: &settings.docker, env }).engine() {
        Ok(engine) => engine,
        Err(error) => return (settings, unknown(in_words(&error), None)),
    };
    let containers = match engine.containers(None) {
        Ok(containers) => containers,
        Err(error) => {
            let message = format!("labels of containers cannot be read: {}", in_words(&error));
            return (settings, unknown(message, error.hint()));
        }
    };
    let mut faults = Vec::new();
    let mut labelled = Vec::new();
    for container in containers {
        match read(&engine, &container) {
            Ok(found) => labelled.extend(found),
            Err(error) => {
                let app = ContainerLabels::app_of(&container.labels).map(str::to_owned);
                faults.push(LabelFault { app, error });
            }
        }
    }
    settings.add_labelled(labelled, &mut faults);
    let told = |LabelFault { app, error }: LabelFault| {
        let hint = app.as_ref().map(|app| format!("`{app}` is left out until that is mended"));
        AppFault { app, is_of_engine: false, message: error.to_string(), hint }
    };
    (settings, faults.into_iter().map(told).collect())
}

/// Reads a container; `None` if its labels say nothing.
fn read(engine: &Engine, container: &Container) -> Result<Option<LabelledContainer>, LabelError> {
    let name = &container.name;
    let Some(labels) = ContainerLabels::read(name, &container.labels)? else { return Ok(None) };
    let (mut paths, mut sqlite) = (Vec::<PathBuf>::new(), Vec::new());
    if labels.volumes.is_some() || !labels.sqlite.is_empty() {
        let fault = |label: &str, problem| LabelError {
            container: name.clone(),
            label: format!("drumlin.{label}"),
            problem,
        };
        let unseen = |error: Error| fault("volumes", format!("its mounts: {}", in_words(&error)));
        let inspected = engine.inspect(&container.id).map_err(unseen)?;
        if let Some(names) = &labels.volumes {
            let mounts = mounts_to_read(&inspected, names)?;
            if mounts.is_empty() {
                let why = "it has no volume and no folder of the host with data";
                return Err(fault("volumes", why.to_owned()));
            }
            paths.extend(mounts.into_iter().map(|mount| mount.source.clone()));
        }
        for pattern in &labels.sqlite {
            sqlite.push(inspected.host_pattern(pattern).ok_or_else(|| {
                let why = format!("`{pattern}` is in no volume and no folder of the host");
                fault("sqlite", why)
            })?);
        }
    }
    Ok(Some(LabelledContainer { name: name.clone(), labels, paths, sqlite }))
}
