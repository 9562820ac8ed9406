//! Engine at a socket, and what it does with a whole container.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::connection::{Connection, Deadline, Patience};
use super::error::{Error, Fault, Result};
use super::http::{AnswerReader, Head, Request};
use crate::settings::docker::is_container_name;

/// Time for an ordinary answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// Time for a container to stop: the engine waits for as long as the container's own limit says,
/// which Compose calls `stop_grace_period`.
const STOP_TIME_MAX: Duration = Duration::from_secs(600);
/// Longest message of the engine that is kept, in characters.
const MESSAGE_LEN_MAX: usize = 1 << 10;

/// A container engine: Docker, or Podman's service.
///
/// It holds no connection: each question makes its own, so that an engine that was started again
/// is found again. Requests name no version of the API, because the fields that are read have not
/// changed since 1.24, and each engine refuses other versions.
#[derive(Clone, Debug)]
pub struct Engine {
    socket: PathBuf,
}

/// What an engine says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineVersion {
    /// `Podman Engine`, or that of Docker: `Engine`, or a product's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The newest version of the API.
    pub api_version: String,
}

/// An answer without a fault: the status says whether it is a success.
pub(super) struct Answer {
    pub head: Head,
    pub body: Vec<u8>,
}

impl Engine {
    /// Returns the engine at a Unix socket, such as `/var/run/docker.sock`. Nothing is opened yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Returns the path of the socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks for name and version: the cheapest way to see that the engine answers.
    pub fn version(&self) -> Result<EngineVersion> {
        let action = "ask for the version";
        let answer: VersionAnswer = self.get(action, "/version")?;
        let component = answer.components.unwrap_or_default().into_iter().next();
        Ok(EngineVersion {
            name: component.map(|component| component.name).unwrap_or_default(),
            version: answer.version,
            api_version: answer.api_version,
        })
    }

    /// Stops a container and waits until it has stopped; at most 10 minutes, if its own limit is
    /// so long.
    ///
    /// Returns whether it was running: only then must the caller start it again. The caller notes
    /// that before it calls: after an error, too, the container may have been stopped.
    pub fn stop(&self, container: &str) -> Result<bool> {
        self.change(container, "stop", STOP_TIME_MAX)
    }

    /// Starts a container; returns whether it was not running.
    pub fn start(&self, container: &str) -> Result<bool> {
        self.change(container, "start", ANSWER_TIME_MAX)
    }

    fn change(&self, container: &str, verb: &str, time_max: Duration) -> Result<bool> {
        check_name(container)?;
        let action = format!("{verb} container `{container}`");
        let target = format!("/containers/{container}/{verb}");
        let request = Request { method: "POST", target: &target, body: &[], is_upgrade: false };
        let answer = self.ask(&action, &request, Deadline::after(time_max))?;
        match answer.head.status {
            204 => Ok(true),
            304 => Ok(false),
            _ => Err(self.refusal(&action, &answer)),
        }
    }

    /// Gets a JSON document.
    pub(super) fn get<T: DeserializeOwned>(&self, action: &str, target: &str) -> Result<T> {
        let request = Request { method: "GET", target, body: &[], is_upgrade: false };
        self.document(action, &request, answer_deadline())
    }

    /// Sends a request whose answer is a JSON document.
    pub(super) fn document<T: DeserializeOwned>(
        &self,
        action: &str,
        request: &Request,
        deadline: Deadline,
    ) -> Result<T> {
        let answer = self.ask(action, request, deadline)?;
        if !matches!(answer.head.status, 200 | 201) {
            return Err(self.refusal(action, &answer));
        }
        self.parse(action, &answer)
    }

    /// Reads the JSON document of an answer.
    pub(super) fn parse<T: DeserializeOwned>(&self, action: &str, answer: &Answer) -> Result<T> {
        serde_json::from_slice(&answer.body).map_err(|error| {
            self.fault(action, Fault::answer(format!("the answer is not understood: {error}")))
        })
    }

    /// Sends a request and returns the answer, whatever its status.
    pub(super) fn ask(
        &self,
        action: &str,
        request: &Request,
        deadline: Deadline,
    ) -> Result<Answer> {
        let ask = || {
            let mut connection = Connection::open(&self.socket, Patience::until(deadline))?;
            request.send(&mut connection)?;
            let mut reader = AnswerReader::new(&mut connection);
            let head = reader.read_head()?;
            let body = reader.read_body(&head)?;
            Ok(Answer { head, body })
        };
        ask().map_err(|fault| self.fault(action, fault))
    }

    /// Makes the error of a fault during `action`.
    pub(super) fn fault(&self, action: &str, source: Fault) -> Error {
        Error::Connection { socket: self.socket.clone(), action: action.into(), source }
    }

    /// Makes the error of an answer that is no success.
    pub(super) fn refusal(&self, action: &str, answer: &Answer) -> Error {
        Error::Refused {
            socket: self.socket.clone(),
            action: action.into(),
            status: answer.head.status,
            message: message_of(&answer.body),
        }
    }
}

/// Returns the deadline of an ordinary answer that is asked for now.
pub(super) fn answer_deadline() -> Deadline {
    Deadline::after(ANSWER_TIME_MAX)
}

/// Fails if a word cannot be the name or id of a container; it becomes a part of a path.
pub(super) fn check_name(name: &str) -> Result<()> {
    match is_container_name(name) {
        true => Ok(()),
        false => Err(Error::Unusable(name.into(), "the name of a container")),
    }
}

/// Returns the message in the body of a refusal.
fn message_of(body: &[u8]) -> String {
    let message = serde_json::from_slice(body).map(|MessageAnswer { message }| message);
    let message = message.unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned());
    let message: String = message.trim().chars().take(MESSAGE_LEN_MAX).collect();
    if message.is_empty() { "no reason given".into() } else { message }
}

#[derive(Deserialize)]
struct MessageAnswer {
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VersionAnswer {
    #[serde(default)]
    version: String,
    #[serde(default)]
    api_version: String,
    components: Option<Vec<Component>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Component {
    #[serde(default)]
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_short_whatever_the_engine_sends() {
        assert_eq!(message_of(br#"{"message":" no such container "}"#), "no such container");
        assert_eq!(message_of(b"404 page not found\n"), "404 page not found");
        assert_eq!(message_of(b""), "no reason given");
        assert_eq!(message_of("ä".repeat(1 << 20).as_bytes()).chars().count(), MESSAGE_LEN_MAX);
    }
}
