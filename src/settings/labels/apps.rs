//! Apps that labels of containers describe, as settings in addition to those of the file.
//!
//! A mistake in the labels of one app must not stop the backup of the others: it is a fault, the
//! app is left out, and the caller tells it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::container::{ContainerLabels, LabelError, Names};
use crate::retention::Policy;
use crate::settings::Settings;
use crate::settings::app::AppSettings;
use crate::settings::docker::Labelled;
use crate::settings::run::parse_schedule_line;
use crate::settings::sources::{CommandSettings, DatabaseKind, DatabaseSettings};

/// A container whose labels describe an app or a part of one, and where the host has its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelledContainer {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: ContainerLabels,
    /// The mounts that it asks for, by their paths on the host.
    pub paths: Vec<PathBuf>,
    /// Patterns of its SQLite databases on the host.
    pub sqlite: Vec<String>,
}

/// A fault in labels, for which an app is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelFault {
    /// The app, if the labels name one.
    pub app: Option<String>,
    /// The fault.
    pub error: LabelError,
}

impl Settings {
    /// Adds the apps that containers describe. An app for which there is a fault is left out; new
    /// faults are added.
    ///
    /// What holds for the whole app may be said by any of its containers; two that differ are a
    /// fault, and so is an app of the file with the same name.
    pub fn add_labelled(
        &mut self,
        mut containers: Vec<LabelledContainer>,
        faults: &mut Vec<LabelFault>,
    ) {
        // Messages and snapshots must not depend on the order in which the engine lists.
        containers.sort_by(|one, other| one.name.cmp(&other.name));
        let mut apps = BTreeMap::<String, Vec<LabelledContainer>>::new();
        for container in containers {
            apps.entry(container.labels.app.clone()).or_default().push(container);
        }
        let mut known = Labelled::default();
        for (app, members) in apps {
            if faults.iter().any(|fault| fault.app.as_ref() == Some(&app)) {
                continue;
            }
            match self.labelled_app(&app, &members) {
                Ok(settings) => {
                    known.apps.insert(app.clone());
                    self.apps.insert(app, settings);
                }
                Err(error) => faults.push(LabelFault { app: Some(app), error }),
            }
        }
        for fault in faults.iter() {
            let app = fault.app.clone().unwrap_or_else(|| fault.error.container.clone());
            known.faults.entry(app).or_insert_with(|| fault.error.to_string());
        }
        self.labelled = Some(known);
    }

    fn labelled_app(
        &self,
        app: &str,
        members: &[LabelledContainer],
    ) -> Result<AppSettings, LabelError> {
        let first = members.first().expect("an app comes from a container");
        if self.apps.contains_key(app) {
            let file = self
                .file
                .as_ref()
                .map_or_else(String::new, |file| format!(", of {}", file.display()));
            let problem = format!("`{app}` is the name of [app.{app}]{file}, too: rename one");
            return Err(fault(first, "app", problem));
        }
        let mut settings = AppSettings::default();
        let schedule = agreed(members, "schedule", |labels| labels.schedule.as_ref())?;
        if let Some((member, line)) = schedule {
            let line = parse_schedule_line(line).map_err(|why| fault(member, "schedule", why))?;
            settings.run.schedule = vec![line];
        }
        let keep = agreed(members, "keep", |labels| labels.keep.as_ref())?;
        if let Some((member, text)) = keep {
            let policy = settings.keep.insert(Policy::default());
            policy.add(text).map_err(|why| fault(member, "keep", why))?;
        }
        if let Some((member, names)) = agreed(members, "repository", repositories)? {
            if let Some(name) = names.iter().find(|name| !self.repositories.contains_key(*name)) {
                let problem = format!("there is no [repository.{name}] in the configuration");
                return Err(fault(member, "repository", problem));
            }
            settings.repositories = names.to_vec();
        }
        for member in members {
            add_files(&mut settings, member);
            add_commands(&mut settings, member)?;
        }
        add_databases(&mut settings, members);
        match settings.paths.is_empty() && settings.sources.is_empty() {
            true => Err(fault(first, "app", "names nothing to back up".to_owned())),
            false => Ok(settings),
        }
    }
}

fn repositories(labels: &ContainerLabels) -> Option<&[String]> {
    Some(labels.repository.as_slice()).filter(|names| !names.is_empty())
}

fn fault(container: &LabelledContainer, label: &str, problem: String) -> LabelError {
    let label = format!("drumlin.{label}");
    LabelError { container: container.name.clone(), label, problem }
}

/// Returns the value that all containers give which give any, and the first of them.
fn agreed<'a, T: PartialEq + ?Sized>(
    members: &'a [LabelledContainer],
    label: &str,
    value: fn(&'a ContainerLabels) -> Option<&'a T>,
) -> Result<Option<(&'a LabelledContainer, &'a T)>, LabelError> {
    let mut agreed: Option<(&LabelledContainer, &T)> = None;
    for member in members {
        let Some(said) = value(&member.labels) else { continue };
        match agreed {
            Some((first, before)) if before != said => {
                let first = &first.name;
                let problem =
                    format!("differs from that of container `{first}`, which is the same app");
                return Err(fault(member, label, problem));
            }
            Some(_) => {}
            None => agreed = Some((member, said)),
        }
    }
    Ok(agreed)
}

fn add_files(settings: &mut AppSettings, member: &LabelledContainer) {
    // Containers of one app may share a volume.
    for path in &member.paths {
        if !settings.paths.contains(path) {
            settings.paths.push(path.clone());
        }
    }
    for pattern in &member.sqlite {
        if !settings.sources.sqlite.contains(pattern) {
            settings.sources.sqlite.push(pattern.clone());
        }
    }
    settings.excludes.patterns.extend_from_slice(&member.labels.exclude);
    if member.labels.is_stopped {
        settings.stop.push(member.name.clone());
    }
}

fn add_commands(settings: &mut AppSettings, member: &LabelledContainer) -> Result<(), LabelError> {
    for (name, line) in &member.labels.commands {
        let before = settings.sources.commands.iter().find(|command| command.name == *name);
        if let Some(other) = before.and_then(|command| command.container.as_ref()) {
            let problem = format!("container `{other}`, which is the same app, has it, too");
            return Err(fault(member, &format!("command.{name}"), problem));
        }
        settings.sources.commands.push(CommandSettings {
            name: name.clone(),
            run: line.clone(),
            container: Some(member.name.clone()),
            ..CommandSettings::default()
        });
    }
    Ok(())
}

fn add_databases(settings: &mut AppSettings, members: &[LabelledContainer]) {
    for kind in [DatabaseKind::Mariadb, DatabaseKind::Mysql, DatabaseKind::Postgres] {
        let names_of = |labels: &ContainerLabels| match kind {
            DatabaseKind::Mariadb => labels.mariadb.clone(),
            DatabaseKind::Mysql => labels.mysql.clone(),
            DatabaseKind::Postgres => labels.postgres.clone(),
        };
        let servers: Vec<_> =
            members.iter().filter_map(|member| Some((member, names_of(&member.labels)?))).collect();
        let are_several = servers.len() > 1;
        for (member, names) in servers {
            let database = DatabaseSettings {
                kind,
                section: format!("label drumlin.{} of {}", kind.key(), member.name),
                // Several need folders of their own in the snapshot.
                name: are_several.then(|| member.name.clone()),
                databases: match names {
                    Names::All => None,
                    Names::Only(names) => Some(names),
                },
                container: Some(member.name.clone()),
                ..DatabaseSettings::default()
            };
            match kind {
                DatabaseKind::Postgres => settings.sources.postgres.push(database),
                _ => settings.sources.mysql.push(database),
            }
        }
    }
}

#[cfg(test)]
mod tests;
