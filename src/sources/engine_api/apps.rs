//! Apps that labels of containers describe, and the mounts that they read.

use std::collections::BTreeMap;
use std::path::Path;

use super::labels::{ContainerLabels, LabelError, Names};
use super::list::{Container, Inspected, Mount};

/// Folders of the host that are no data of a container, though many mount them.
const SYSTEM_DIRS: [&str; 5] = ["/dev", "/proc", "/run", "/sys", "/var/run"];

/// An app: all containers with its name in their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelledApp {
    /// Times of backups, as in the configuration file.
    pub schedule: Option<String>,
    /// Snapshots to keep, as in the configuration file.
    pub keep: Option<String>,
    /// Names of repositories, empty for the default.
    pub repository: Vec<String>,
    /// The containers, by name.
    pub members: Vec<Member>,
}

/// A container of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The container.
    pub container: Container,
    /// Its labels.
    pub labels: ContainerLabels,
}

/// Returns the apps of a list of containers, by name.
///
/// What holds for the whole app may be said by any of its containers; two that differ are an
/// error, and so is any label that cannot be used.
pub fn labelled_apps(
    containers: Vec<Container>,
) -> Result<BTreeMap<String, LabelledApp>, LabelError> {
    let mut apps = BTreeMap::<String, LabelledApp>::new();
    for container in containers {
        if let Some(labels) = ContainerLabels::read(&container.name, &container.labels)? {
            let app = apps.entry(labels.app.clone()).or_default();
            app.members.push(Member { container, labels });
        }
    }
    for app in apps.values_mut() {
        // Messages and snapshots must not depend on the order in which the engine lists.
        app.members.sort_by(|a, b| a.container.name.cmp(&b.container.name));
        app.schedule = agreed(&app.members, "schedule", |labels| labels.schedule.clone())?;
        app.keep = agreed(&app.members, "keep", |labels| labels.keep.clone())?;
        let repository = |labels: &ContainerLabels| {
            Some(labels.repository.clone()).filter(|names| !names.is_empty())
        };
        app.repository = agreed(&app.members, "repository", repository)?.unwrap_or_default();
    }
    Ok(apps)
}

/// Returns the value that all members give which give any.
fn agreed<T: PartialEq>(
    members: &[Member],
    label: &str,
    value: fn(&ContainerLabels) -> Option<T>,
) -> Result<Option<T>, LabelError> {
    let mut agreed: Option<(&Member, T)> = None;
    for member in members {
        let Some(said) = value(&member.labels) else { continue };
        match &agreed {
            Some((first, before)) if *before != said => {
                return Err(LabelError {
                    container: member.container.name.clone(),
                    label: format!("drumlin.{label}"),
                    problem: format!(
                        "differs from that of container `{}`, which is the same app",
                        first.container.name
                    ),
                });
            }
            Some(_) => {}
            None => agreed = Some((member, said)),
        }
    }
    Ok(agreed.map(|(_, value)| value))
}

/// Returns the mounts of a container that the label `drumlin.volumes` asks for.
///
/// All means volumes and folders or files of the host, without the system's own (`/` and
/// what is in `/dev`, `/proc`, `/run`, `/sys`). A name is that of a volume, or a path in the
/// container; fails if there is none, so that a renamed volume is not left out silently.
pub fn mounts_to_read<'a>(
    inspected: &'a Inspected,
    names: &Names,
) -> Result<Vec<&'a Mount>, LabelError> {
    let stored = || inspected.mounts.iter().filter(|mount| mount.is_stored());
    let Names::Only(names) = names else {
        return Ok(stored().filter(|mount| !is_system(&mount.source)).collect());
    };
    let find = |name: &String| {
        let is_named = |mount: &&Mount| {
            mount.name.as_ref() == Some(name) || mount.destination == Path::new(name)
        };
        stored().find(is_named).ok_or_else(|| LabelError {
            container: inspected.container.name.clone(),
            label: "drumlin.volumes".into(),
            problem: format!("`{name}` is not a volume of it, nor a path where one is mounted"),
        })
    };
    names.iter().map(find).collect()
}

fn is_system(source: &Path) -> bool {
    source == Path::new("/") || SYSTEM_DIRS.iter().any(|dir| source.starts_with(dir))
}

#[cfg(test)]
mod tests;
