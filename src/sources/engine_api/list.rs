//! Containers and their mounts.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::engine::{Engine, check_name};
use super::error::Result;

/// Characters of a short id.
const SHORT_ID_LEN: usize = 12;

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Id, 64 hexadecimal digits.
    pub id: String,
    /// Name without a slash, else the first 12 digits of the id.
    pub name: String,
    /// Whether commands can be run in it: it is started and not paused.
    pub is_running: bool,
    /// Labels of the container and of its image.
    pub labels: BTreeMap<String, String>,
}

/// A container with its mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The container.
    pub container: Container,
    /// Its mounts.
    pub mounts: Vec<Mount>,
    /// Whether the engine removes it, and its nameless volumes, as soon as it stops.
    pub is_removed_when_stopped: bool,
}

/// A folder or file of the host in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Kind: `volume`, `bind`, `tmpfs` and others.
    pub kind: String,
    /// Name of a volume; others have none.
    pub name: Option<String>,
    /// Path on the host, below `root` if the program runs in a container.
    pub source: PathBuf,
    /// Path in the container.
    pub destination: PathBuf,
}

impl Engine {
    /// Lists all containers, running or not; `label` limits them to those that have it: `NAME`, or
    /// `NAME=VALUE`.
    pub fn containers(&self, label: Option<&str>) -> Result<Vec<Container>> {
        let mut target = "/containers/json?all=1".to_owned();
        if let Some(label) = label {
            let filters = serde_json::json!({ "label": [label] }).to_string();
            target += "&filters=";
            target.extend(utf8_percent_encode(&filters, NON_ALPHANUMERIC));
        }
        let listed: Vec<Listed> = self.get("list containers", &target)?;
        Ok(listed.into_iter().map(Container::from).collect())
    }

    /// Returns a container with its mounts, by name or id.
    pub fn inspect(&self, container: &str) -> Result<Inspected> {
        check_name(container)?;
        let action = format!("inspect container `{container}`");
        let answer: InspectAnswer = self.get(&action, &format!("/containers/{container}/json"))?;
        let name = name_of(&[answer.name.unwrap_or_default()], &answer.id);
        Ok(Inspected {
            container: Container {
                name,
                id: answer.id,
                is_running: answer.state.status == RUNNING,
                labels: answer.config.labels.unwrap_or_default(),
            },
            mounts: answer.mounts.unwrap_or_default().into_iter().map(Mount::from).collect(),
            is_removed_when_stopped: answer.host_config.is_some_and(|config| config.auto_remove),
        })
    }
}

impl Inspected {
    /// Returns where the host has a path of the container, or a pattern of paths, by the deepest
    /// mount that holds it; `None` if it is in none, is not absolute, or has `..` in it.
    ///
    /// Only the names are looked at: a link in the container may lead elsewhere. Characters of the
    /// host's part mean themselves in the pattern.
    pub fn host_pattern(&self, pattern: &str) -> Option<String> {
        let path = Path::new(pattern);
        let is_plain = path.is_absolute() && !path.components().any(|c| c == Component::ParentDir);
        let mounts = self.mounts.iter().filter(|mount| path.starts_with(&mount.destination));
        let mount = mounts.max_by_key(|mount| mount.destination.components().count());
        let mount = mount.filter(|mount| is_plain && mount.is_stored())?;
        let below = path.strip_prefix(&mount.destination).expect("it begins so").to_str()?;
        let source = globset::escape(mount.source.to_str()?);
        // Joined with nothing, a path would get a slash at its end.
        Some(if below.is_empty() { source } else { format!("{source}/{below}") })
    }
}

impl Mount {
    /// Returns whether the host has its content as files.
    pub fn is_stored(&self) -> bool {
        matches!(self.kind.as_str(), "volume" | "bind") && self.source.is_absolute()
    }
}

/// The state of a container in which commands can be run.
const RUNNING: &str = "running";

/// Returns the container's own name among those that other containers call it (`/web/db`).
fn name_of(names: &[String], id: &str) -> String {
    let own = names.iter().map(|name| name.strip_prefix('/').unwrap_or(name));
    let own = own.filter(|name| !name.is_empty()).min_by_key(|name| name.contains('/'));
    let short = || id.chars().take(SHORT_ID_LEN).collect();
    own.map_or_else(short, str::to_owned)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    names: Option<Vec<String>>,
    #[serde(default)]
    state: String,
    labels: Option<BTreeMap<String, String>>,
}

impl From<Listed> for Container {
    fn from(listed: Listed) -> Self {
        Self {
            name: name_of(&listed.names.unwrap_or_default(), &listed.id),
            id: listed.id,
            is_running: listed.state == RUNNING,
            labels: listed.labels.unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectAnswer {
    id: String,
    name: Option<String>,
    state: StateAnswer,
    config: ConfigAnswer,
    mounts: Option<Vec<MountAnswer>>,
    host_config: Option<HostConfigAnswer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfigAnswer {
    #[serde(default)]
    auto_remove: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StateAnswer {
    status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigAnswer {
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MountAnswer {
    #[serde(default)]
    r#type: String,
    name: Option<String>,
    #[serde(default)]
    source: PathBuf,
    destination: PathBuf,
}

impl From<MountAnswer> for Mount {
    fn from(answer: MountAnswer) -> Self {
        Self {
            kind: answer.r#type,
            name: answer.name.filter(|name| !name.is_empty()),
            source: answer.source,
            destination: answer.destination,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_called_by_its_own_name() {
        let name = |names: &[&str]| {
            name_of(
                &names.iter().map(|name| name.to_string()).collect::<Vec<_>>(),
                "0123456789abcd",
            )
        };
        assert_eq!(name(&["/web/db", "/db"]), "db");
        assert_eq!(name(&["db"]), "db");
        assert_eq!(name(&[]), "0123456789ab");
        assert_eq!(name(&["/"]), "0123456789ab");
    }

    fn mount(kind: &str, source: &str, destination: &str) -> Mount {
        let (source, destination) = (source.into(), destination.into());
        Mount { kind: kind.into(), name: None, source, destination }
    }

    #[test]
    fn paths_of_a_container_are_found_on_the_host() {
        let container = Container {
            id: String::new(),
            name: String::new(),
            is_running: true,
            labels: BTreeMap::new(),
        };
        let mounts = vec![
            mount("bind", "/srv/all", "/data"),
            mount("volume", "/var/lib/volumes/db/_data", "/data/db"),
            mount("tmpfs", "", "/data/tmp"),
            mount("bind", "/srv/[x]", "/odd"),
        ];
        let inspected = Inspected { container, mounts, is_removed_when_stopped: false };
        for (path, on_host) in [
            ("/data/x.db", Some("/srv/all/x.db")),
            ("/data", Some("/srv/all")),
            ("/data/db/*.sqlite", Some("/var/lib/volumes/db/_data/*.sqlite")),
            ("/data/dbx", Some("/srv/all/dbx")),
            ("/odd/?.db", Some("/srv/[[]x[]]/?.db")),
            ("/data/tmp/x", None),
            ("/database/x", None),
            ("/data/../etc/shadow", None),
            ("data/x", None),
        ] {
            assert_eq!(inspected.host_pattern(path).as_deref(), on_host, "{path}");
        }
    }
}
