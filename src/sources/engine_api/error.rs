//! Errors of the container engine, with hints.
//!
//! Every message names the socket or the container, because a machine may have
//! several engines, and the hint says what the user can do.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Result of a question to the container engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed question to the container engine; the cause is in `source()`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection, or what came through it, failed.
    #[error("container engine at {}: cannot {action}", socket.display())]
    Connection {
        /// Path of the engine's socket.
        socket: PathBuf,
        /// The attempt, such as `list containers`.
        action: String,
        /// The cause.
        source: Fault,
    },
    /// The engine answered that it cannot, or will not.
    #[error("container engine at {}: cannot {action}: {message} (status {status})", socket.display())]
    Refused {
        /// Path of the engine's socket.
        socket: PathBuf,
        /// The attempt, such as `list containers`.
        action: String,
        /// Status of HTTP.
        status: u16,
        /// Message of the engine, at most 1 KiB.
        message: String,
    },
    /// The command in the container ended with a code other than 0.
    #[error("`{program}` in container `{container}` failed with code {code}{}", tail(last_words))]
    Failed {
        /// Name or id of the container, as it was asked for.
        container: String,
        /// First word of the command.
        program: String,
        /// Exit code; 126 and 127 say that the command could not be started.
        code: i64,
        /// End of its standard error, at most 4 KiB.
        last_words: String,
    },
    /// It is not known that the command in the container did all of its work.
    #[error("`{program}` in container `{container}` {why}{}", tail(last_words))]
    Incomplete {
        /// Name or id of the container, as it was asked for.
        container: String,
        /// First word of the command.
        program: String,
        /// What is known, as a predicate.
        why: &'static str,
        /// End of its standard error, at most 4 KiB.
        last_words: String,
    },
    /// The name of a container, a variable or a command cannot be sent.
    #[error("`{0}` is not {1}")]
    Unusable(String, &'static str),
    /// The system has no random bytes.
    #[error("cannot draw random bytes: {0}")]
    Random(getrandom::Error),
}

impl Error {
    /// Returns what the user can do, if that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Connection { socket, source: Fault::Connect(error), .. } => {
                connect_hint(socket, error.kind())
            }
            Self::Connection { source: Fault::Slow(_), .. } => {
                Some("the engine runs but does not answer: look at its log, restart it".into())
            }
            Self::Connection { socket, source: Fault::Answer(_), .. } => Some(format!(
                "is {} the socket of Docker or of Podman's service? a proxy before it must let \
                 upgraded connections through",
                socket.display()
            )),
            Self::Refused { status: 403, .. } => {
                Some("a proxy before the engine must allow `containers` and `exec`".into())
            }
            Self::Refused { status: 404, .. } => Some("see `docker ps` or `podman ps`".into()),
            Self::Refused { status: 409, .. } => Some("start the container first".into()),
            Self::Failed { code: 126 | 127, program, container, .. } => {
                Some(format!("is `{program}` in the image of `{container}`?"))
            }
            _ => None,
        }
    }
}

/// Returns a hint for a socket that cannot be reached.
fn connect_hint(socket: &Path, kind: io::ErrorKind) -> Option<String> {
    let socket = socket.display();
    match kind {
        io::ErrorKind::PermissionDenied => Some(format!(
            "run as root, or as a member of the group that owns {socket} (that group is root on \
             this machine)"
        )),
        io::ErrorKind::NotFound => Some(
            "is the engine installed and started? Docker: `systemctl start docker`; Podman: \
             `systemctl start podman.socket`; in a container, mount the socket; another place: \
             `[docker] socket`"
                .into(),
        ),
        io::ErrorKind::ConnectionRefused => Some(format!(
            "the engine that made {socket} does not run: `systemctl start docker`, or \
             `systemctl start podman.socket`"
        )),
        _ => None,
    }
}

/// Returns the last words of a command as the end of a message.
fn tail(last_words: &str) -> String {
    if last_words.is_empty() { String::new() } else { format!(": {last_words}") }
}

/// A fault of a connection, before it is known what it was for.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The socket cannot be reached.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// The engine did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// The answer breaks the rules of the protocol.
    #[error("{0}")]
    Answer(String),
    /// The user stopped the operation.
    #[error("interrupted")]
    Interrupted,
}

impl Fault {
    /// Makes the fault of an answer that breaks the rules.
    pub(super) fn answer(problem: impl Into<String>) -> Self {
        Self::Answer(problem.into())
    }
}

impl From<io::Error> for Fault {
    /// Returns the fault that an [`io::Error`] carries through [`io::Read`] and [`io::Write`].
    fn from(error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(Self::Io)
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::other(fault)
    }
}

impl From<Error> for io::Error {
    /// Returns an error for [`io::Read`]; the chain of causes stays.
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}
