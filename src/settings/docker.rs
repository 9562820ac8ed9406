//! Table `[docker]` of the configuration file: the engine of containers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::environment::Environment;
use super::error::SettingsError;
use super::section::Section;

/// The socket of Docker, which Podman's packages make, too.
const SOCKET_DEFAULT: &str = "/var/run/docker.sock";
/// The variable in which Docker's own client finds its engine.
const VARIABLE: &str = "DOCKER_HOST";
/// Longest name of a container, in bytes.
const NAME_LEN_MAX_BYTES: usize = 255;

/// `[docker]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerSettings {
    /// Path of the engine's socket.
    pub socket: Option<PathBuf>,
    /// Whether labels of containers describe apps.
    pub has_labels: bool,
}

/// The apps that labels describe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labelled {
    /// Those that are among the apps of the settings.
    pub apps: BTreeSet<String>,
    /// Those that are left out, and why, for people.
    pub faults: BTreeMap<String, String>,
}

impl DockerSettings {
    /// Returns the path of the engine's socket: that of the file, else that of `DOCKER_HOST`, else
    /// Docker's.
    ///
    /// Fails if the variable names another kind of connection.
    pub fn socket(&self, env: &Environment) -> Result<PathBuf, String> {
        let named = match (&self.socket, env.get(VARIABLE)) {
            (Some(socket), _) => return Ok(socket.clone()),
            (None, None) => return Ok(SOCKET_DEFAULT.into()),
            (None, Some(named)) => named.to_string_lossy(),
        };
        match named.strip_prefix("unix://").filter(|path| path.starts_with('/')) {
            Some(path) => Ok(path.into()),
            None => Err(format!(
                "{VARIABLE} is `{named}`, and only an engine at a Unix socket (`unix:///…`) can be \
                 asked; `socket` in [docker] goes before the variable"
            )),
        }
    }
}

pub(super) fn read_docker(mut section: Section<'_>) -> Result<DockerSettings, SettingsError> {
    let docker = DockerSettings {
        socket: section.path("socket")?,
        has_labels: section.boolean("labels")? == Some(true),
    };
    section.finish()?;
    Ok(docker)
}

/// Returns whether a word can be the name or id of a container; it becomes a part of a request.
pub fn is_container_name(name: &str) -> bool {
    let is_begin = |c: char| c.is_ascii_alphanumeric();
    name.starts_with(is_begin)
        && name.len() <= NAME_LEN_MAX_BYTES
        && name.chars().all(|c| is_begin(c) || "_.-".contains(c))
}

/// Parses the name of a container.
pub(super) fn parse_container(text: &str) -> Result<String, String> {
    match is_container_name(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is not the name of a container")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_change_a_request_are_refused() {
        for name in ["wiki-db", "a", "0f99_5.b", &"x".repeat(255)] {
            parse_container(name).unwrap();
        }
        for name in
            ["", ".", "..", "../x", "a/b", "a b", "a?b", "a%2fb", "-a", "ä", &"x".repeat(256)]
        {
            assert!(parse_container(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_file_goes_before_the_variable() {
        let default = DockerSettings::default();
        let socket = |value| default.socket(&Environment::of([(VARIABLE, value)]));
        assert_eq!(default.socket(&Environment::default()).unwrap(), PathBuf::from(SOCKET_DEFAULT));
        assert_eq!(socket("unix:///run/podman.sock").unwrap(), PathBuf::from("/run/podman.sock"));
        for value in ["tcp://127.0.0.1:2375", "ssh://box", "unix://podman.sock", "/run/x"] {
            assert!(socket(value).unwrap_err().contains(value), "{value}");
        }
        let file = DockerSettings { socket: Some("/x".into()), ..default };
        let env = Environment::of([(VARIABLE, "tcp://127.0.0.1:2375")]);
        assert_eq!(file.socket(&env).unwrap(), PathBuf::from("/x"));
    }
}
