//! Containers as places in which programs of dumps run.
//!
//! The client in a container fits its server. A password of the configuration is in the
//! environment of the one command; where none is configured, the login of the official images is
//! taken from the container's own environment, by a shell in the container: it never leaves it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::engine_api::{Engine, Error, Exec, ExecReader, Fault};
use super::process::{self, Output};
use super::runner::{Invocation, Runner};
use crate::monitor::Monitor;

/// Exit code of a program that a signal ended is this, and the signal.
const SIGNAL_CODE: i64 = 128;
/// Most signals of Linux.
const SIGNALS_MAX: i64 = 64;

/// Runs a program with the login that the official images of MariaDB, MySQL and PostgreSQL have in
/// their environment, or in files that it names. What is set already goes before.
const OWN_LOGIN: &str = r#"value() {
    eval "v=\${$1:-}; f=\${$1_FILE:-}"
    if [ -z "$v" ] && [ -n "$f" ]; then v=$(cat "$f"); fi
    printf %s "$v"
}
MYSQL_PWD=${MYSQL_PWD:-$(value MARIADB_ROOT_PASSWORD)}
MYSQL_PWD=${MYSQL_PWD:-$(value MYSQL_ROOT_PASSWORD)}
[ -z "$MYSQL_PWD" ] || export MYSQL_PWD
PGUSER=${PGUSER:-$(value POSTGRES_USER)}
PGUSER=${PGUSER:-postgres}
PGPASSWORD=${PGPASSWORD:-$(value POSTGRES_PASSWORD)}
export PGUSER
[ -z "$PGPASSWORD" ] || export PGPASSWORD
exec "$@""#;

/// Runs programs in a container.
pub struct ContainerRunner {
    engine: Engine,
    container: String,
    has_own_login: bool,
    monitor: Arc<Monitor>,
}

impl ContainerRunner {
    /// Makes a runner whose programs stop when `monitor` is cancelled. Nothing is asked yet.
    pub fn new(engine: Engine, container: &str, monitor: &Arc<Monitor>) -> Self {
        let (container, monitor) = (container.to_owned(), Arc::clone(monitor));
        Self { engine, container, has_own_login: false, monitor }
    }

    /// Lets programs log in as the container's environment says. It needs `sh` in the container.
    pub fn with_own_login(self) -> Self {
        Self { has_own_login: true, ..self }
    }

    fn exec(&self, invocation: Invocation) -> Exec {
        let shell = ["sh", "-c", OWN_LOGIN, "sh"].into_iter().filter(|_| self.has_own_login);
        let mut command: Vec<String> = shell.map(str::to_owned).collect();
        command.push(invocation.program);
        command.extend(invocation.arguments);
        let env = invocation.environment.into_iter().collect::<BTreeMap<_, _>>();
        Exec { container: self.container.clone(), command, env, user: None }
    }

    /// Returns the failure to start a program, with what the engine says of the container.
    fn not_started(&self, program: &str, error: Error) -> io::Error {
        if !matches!(error, Error::Refused { .. }) {
            return failure(program, error);
        }
        let container = &self.container;
        match self.engine.inspect(container) {
            Err(Error::Refused { status: 404, .. }) => {
                let message = format!("there is no container `{container}`");
                let hint = "`docker ps --all` or `podman ps --all` shows them; check `container`";
                ContainerFailure::new(message, Some(hint.to_owned()), error).of(ErrorKind::Other)
            }
            Ok(inspected) if !inspected.container.is_running => {
                let message = format!("container `{container}` is not running");
                let hint = format!("`docker start {container}`, or look at its log");
                let failure = ContainerFailure::new(message, Some(hint), error);
                // It may be on its way up.
                failure.of(ErrorKind::NotConnected)
            }
            _ => failure(program, error),
        }
    }
}

impl Runner for ContainerRunner {
    fn start(&self, invocation: Invocation) -> io::Result<Box<dyn Output>> {
        if invocation.secret_file.is_some() {
            let why = format!("a file cannot be passed into container `{}`", self.container);
            return Err(io::Error::new(ErrorKind::Unsupported, why));
        }
        let program = invocation.program.clone();
        let exec = self.exec(invocation);
        match ExecReader::open(&self.engine, &exec, &self.monitor) {
            Ok(reader) => Ok(Box::new(ContainerOutput { reader, program })),
            Err(error) => Err(self.not_started(&program, error)),
        }
    }

    fn passes_files(&self) -> bool {
        false
    }

    fn place(&self) -> String {
        format!("container {}", self.container)
    }
}

/// The output of a program in a container. Dropping it ends the program.
struct ContainerOutput {
    reader: ExecReader,
    program: String,
}

impl Read for ContainerOutput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).map_err(|error| match error.downcast::<Error>() {
            Ok(error) => failure(&self.program, error),
            Err(error) => error,
        })
    }
}

impl Output for ContainerOutput {
    fn finish(&mut self) -> io::Result<()> {
        self.reader.finish().map_err(|error| failure(&self.program, error))
    }

    fn stop_flag(&self) -> Arc<AtomicBool> {
        self.reader.stop_flag()
    }
}

/// A failure that the engine tells of, with what to do.
#[derive(Debug)]
struct ContainerFailure {
    message: String,
    hint: Option<String>,
    error: Error,
}

impl ContainerFailure {
    fn new(message: String, hint: Option<String>, error: Error) -> Self {
        Self { message, hint, error }
    }

    fn of(self, kind: ErrorKind) -> io::Error {
        io::Error::new(kind, self)
    }
}

impl fmt::Display for ContainerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

impl std::error::Error for ContainerFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // Its message is ours, unless it is another one.
        let is_told = self.error.to_string() == self.message;
        if is_told { self.error.source() } else { Some(&self.error) }
    }
}

/// Returns the failure of a program as adapters know it from this host: the kind tells what may
/// pass by itself.
fn failure(program: &str, error: Error) -> io::Error {
    match &error {
        Error::Failed { container, code, last_words, .. } => {
            let end = if last_words.is_empty() { String::new() } else { format!(": {last_words}") };
            // Codes of shells and engines for a program that is not there.
            let kind = if *code == 127 { ErrorKind::NotFound } else { ErrorKind::Other };
            let signal = code - SIGNAL_CODE;
            let status = match (1..=SIGNALS_MAX).contains(&signal) {
                true => format!("signal: {signal}"),
                false => format!("exit status: {code}"),
            };
            let message = format!("`{program}` in container `{container}` failed: {status}{end}");
            process::program_failure(kind, i32::try_from(*code).ok(), message)
        }
        Error::Incomplete { container, why, last_words, .. } => {
            let end = if last_words.is_empty() { String::new() } else { format!(": {last_words}") };
            let message = format!("`{program}` in container `{container}` {why}{end}");
            io::Error::new(ErrorKind::ConnectionAborted, message)
        }
        _ => {
            let (message, hint, kind) = (error.to_string(), error.hint(), kind_of(&error));
            ContainerFailure::new(message, hint, error).of(kind)
        }
    }
}

fn kind_of(error: &Error) -> ErrorKind {
    let Error::Connection { source, .. } = error else { return ErrorKind::Other };
    match source {
        Fault::Slow(_) => ErrorKind::TimedOut,
        Fault::Io(_) => ErrorKind::ConnectionAborted,
        // An engine that is started again makes its socket anew.
        Fault::Connect(cause) if cause.kind() == ErrorKind::NotFound => ErrorKind::NotConnected,
        Fault::Connect(cause) => cause.kind(),
        Fault::Answer(_) => ErrorKind::InvalidData,
        Fault::Interrupted => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(code: i64) -> io::Error {
        let last_words = "why".to_owned();
        let (container, program) = ("db".to_owned(), "sh".to_owned());
        failure("pg_dump", Error::Failed { container, program, code, last_words })
    }

    #[test]
    fn a_program_fails_as_it_does_on_this_host() {
        assert_eq!(process::exit_code(&failed(75)), Some(75));
        let text = failed(3).to_string();
        assert_eq!(text, "`pg_dump` in container `db` failed: exit status: 3: why");
        assert!(failed(137).to_string().contains("signal: 9"));
        assert_eq!(failed(127).kind(), ErrorKind::NotFound);
    }

    #[test]
    fn an_engine_that_is_away_may_come_back_and_a_closed_one_does_not() {
        for (kind, told) in [
            (ErrorKind::NotFound, ErrorKind::NotConnected),
            (ErrorKind::ConnectionRefused, ErrorKind::ConnectionRefused),
            (ErrorKind::PermissionDenied, ErrorKind::PermissionDenied),
        ] {
            let source = Fault::Connect(kind.into());
            let (socket, action) = ("/x.sock".into(), "run `a` in container `db`".to_owned());
            let error = failure("a", Error::Connection { socket, action, source });
            assert_eq!(error.kind(), told);
            let text = crate::monitor::in_words(&error);
            assert!(text.contains("/x.sock") && text.contains("cannot connect"), "{text}");
        }
    }

    #[test]
    fn the_own_login_is_taken_where_the_environment_has_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "of a file\n").unwrap();
        let login = |variables: &[(&str, &str)]| {
            let seen = "echo \"${MYSQL_PWD-none} $PGUSER ${PGPASSWORD-none}\"";
            let output = std::process::Command::new("sh")
                .args(["-c", OWN_LOGIN, "sh", "sh", "-c", seen])
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap())
                .envs(variables.iter().copied())
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
        };
        let path = file.path().to_str().unwrap();
        assert_eq!(login(&[]), "none postgres none");
        assert_eq!(login(&[("MARIADB_ROOT_PASSWORD", "a'\"$x b")]), "a'\"$x b postgres none");
        assert_eq!(login(&[("MYSQL_ROOT_PASSWORD_FILE", path)]), "of a file postgres none");
        let both = [("MYSQL_PWD", "set"), ("MYSQL_ROOT_PASSWORD", "other")];
        assert_eq!(login(&both), "set postgres none");
        let postgres = [("POSTGRES_USER", "ada"), ("POSTGRES_PASSWORD_FILE", path)];
        assert_eq!(login(&postgres), "none ada of a file");
    }
}
