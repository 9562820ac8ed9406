//! Commands in a container: creation, start, exit code.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::connection::{Connection, Deadline, Patience};
use super::engine::{Answer, Engine, check_name};
use super::error::{Error, Fault, Result};
use super::http::{AnswerReader, Request};

/// A command to be run in a container, without a terminal.
///
/// Secrets go into `env`: words of the command are seen by everyone who may list processes. The
/// engine keeps the variables as long as it remembers the command, about five minutes after its
/// end; Podman writes them into its own database for that time.
#[derive(Clone, Default)]
pub struct Exec {
    /// Name or id of the container.
    pub container: String,
    /// Program and arguments; no shell is added.
    pub command: Vec<String>,
    /// Variables that are added to those of the container.
    pub env: BTreeMap<String, Zeroizing<String>>,
    /// User in the container, `NAME`, `UID` or with `:GROUP`; by default that of the container.
    pub user: Option<String>,
}

impl fmt::Debug for Exec {
    /// Shows names of variables, and no values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec")
            .field("container", &self.container)
            .field("command", &self.command)
            .field("env", &self.env.keys())
            .field("user", &self.user)
            .finish()
    }
}

/// A command that does not run yet.
pub(super) struct Created {
    /// Id of the exec.
    pub id: String,
    /// Whether the engine is Docker.
    pub is_docker: bool,
}

/// The state of a command, as the engine tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExecState {
    /// It ended with this code.
    Ended(i64),
    /// It runs, or was not started.
    Unsettled,
}

impl Engine {
    /// Creates a command; it does not run yet.
    pub(super) fn create_exec(
        &self,
        exec: &Exec,
        has_input: bool,
        deadline: Deadline,
    ) -> Result<Created> {
        check(exec)?;
        let action = format!("run `{}` in container `{}`", exec.command[0], exec.container);
        let target = format!("/containers/{}/exec", exec.container);
        let body = create_body(exec, has_input);
        let request = Request { method: "POST", target: &target, body: &body, is_upgrade: false };
        let answer = self.ask(&action, &request, deadline)?;
        if answer.head.status != 201 {
            return Err(self.refusal(&action, &answer));
        }
        let CreateAnswer { id } = self.parse(&action, &answer)?;
        // It becomes a part of paths.
        check_name(&id)?;
        Ok(Created { id, is_docker: answer.head.is_docker })
    }

    /// Starts a command; returns its stream, and the bytes of it that have come already.
    pub(super) fn start_exec(
        &self,
        exec: &Exec,
        id: &str,
        patience: Patience,
    ) -> Result<(Connection, Vec<u8>)> {
        let action = format!("start `{}` in container `{}`", exec.command[0], exec.container);
        let fault = |fault| self.fault(&action, fault);
        let mut connection = Connection::open(self.socket(), patience).map_err(fault)?;
        let target = format!("/exec/{id}/start");
        let body = br#"{"Detach":false,"Tty":false}"#;
        let request = Request { method: "POST", target: &target, body, is_upgrade: true };
        request.send(&mut connection).map_err(fault)?;
        let mut reader = AnswerReader::new(&mut connection);
        let head = reader.read_head().map_err(fault)?;
        match head.status {
            101 => {
                let received = reader.into_buffered();
                Ok((connection, received))
            }
            200..300 => Err(fault(Fault::answer(format!(
                "the engine did not switch to a stream (status {})",
                head.status
            )))),
            _ => {
                let body = reader.read_body(&head).map_err(fault)?;
                Err(self.refusal(&action, &Answer { head, body }))
            }
        }
    }

    /// Returns the state of a command; `program` is for messages.
    pub(super) fn exec_state(
        &self,
        program: &str,
        id: &str,
        deadline: Deadline,
    ) -> Result<ExecState> {
        let action = format!("ask for the exit code of `{program}`");
        let target = format!("/exec/{id}/json");
        let request = Request { method: "GET", target: &target, body: &[], is_upgrade: false };
        let answer: StateAnswer = self.document(&action, &request, deadline)?;
        Ok(answer.state())
    }
}

/// Fails if a command cannot be sent. The message never holds a value of a variable.
fn check(exec: &Exec) -> Result<()> {
    check_name(&exec.container)?;
    let refuse = |word: &str, why| Err(Error::Unusable(word.into(), why));
    let Some(program) = exec.command.first().filter(|program| !program.is_empty()) else {
        return refuse("", "a command");
    };
    if exec.command.iter().any(|word| word.contains('\0')) {
        return refuse(program, "a command without zero bytes");
    }
    for (name, value) in &exec.env {
        if name.is_empty() || name.contains(['=', '\0']) {
            return refuse(name, "the name of a variable");
        }
        if value.contains('\0') {
            return refuse(name, "a variable without zero bytes");
        }
    }
    Ok(())
}

/// Returns the body of a creation. It holds passwords and leaves no copy: it never grows.
fn create_body(exec: &Exec, has_input: bool) -> Zeroizing<Vec<u8>> {
    /// Bytes of a character of a string in JSON, at most (`\u0001`).
    const ESCAPED_LEN_MAX_BYTES: usize = 6;
    let env: Vec<Zeroizing<String>> = exec
        .env
        .iter()
        .map(|(name, value)| Zeroizing::new([name.as_str(), "=", value.as_str()].concat()))
        .collect();
    let body = CreateBody {
        attach_stdin: has_input,
        attach_stdout: true,
        attach_stderr: true,
        tty: false,
        env: env.iter().map(|variable| variable.as_str()).collect(),
        cmd: &exec.command,
        user: exec.user.as_deref(),
    };
    let words = body.env.iter().copied().chain(exec.command.iter().map(String::as_str));
    let words_len: usize = words.map(|word| ESCAPED_LEN_MAX_BYTES * word.len() + 3).sum();
    let user_len = ESCAPED_LEN_MAX_BYTES * exec.user.as_ref().map_or(0, String::len);
    let mut bytes = Zeroizing::new(Vec::with_capacity(words_len + user_len + 256));
    serde_json::to_writer(&mut *bytes, &body).expect("strings and numbers become JSON");
    bytes
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreateBody<'a> {
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    tty: bool,
    env: Vec<&'a str>,
    cmd: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateAnswer {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StateAnswer {
    running: bool,
    exit_code: Option<i64>,
}

impl StateAnswer {
    /// Returns what is told.
    ///
    /// Docker shows no code until the end. Podman shows code 0, too, for a command that was created
    /// and not started: it is believed only if the engine has not died since the start, and then it
    /// answers no question before it has noted that the command runs.
    fn state(&self) -> ExecState {
        match self.exit_code {
            Some(code) if !self.running => ExecState::Ended(code),
            _ => ExecState::Unsettled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(json: &str) -> ExecState {
        serde_json::from_str::<StateAnswer>(json).unwrap().state()
    }

    #[test]
    fn only_a_command_that_ended_has_a_code() {
        for (json, is) in [
            // Docker: created, running, ended.
            (r#"{"Running":false,"ExitCode":null,"Pid":0,"CanRemove":false}"#, None),
            (r#"{"Running":true,"ExitCode":null,"Pid":7,"CanRemove":false}"#, None),
            (r#"{"Running":false,"ExitCode":0,"Pid":7,"CanRemove":false}"#, Some(0)),
            (r#"{"Running":false,"ExitCode":127,"Pid":0,"CanRemove":false}"#, Some(127)),
            // Podman: running, ended.
            (r#"{"Running":true,"ExitCode":0,"Pid":7,"CanRemove":false}"#, None),
            (r#"{"Running":false,"ExitCode":0,"Pid":0,"CanRemove":true}"#, Some(0)),
            (r#"{"Running":false,"ExitCode":-1,"Pid":0,"CanRemove":true}"#, Some(-1)),
            // Neither.
            (r#"{"Running":true,"ExitCode":1,"Pid":7,"CanRemove":true}"#, None),
            (r#"{"Running":false}"#, None),
        ] {
            let expected = is.map_or(ExecState::Unsettled, ExecState::Ended);
            assert_eq!(state(json), expected, "{json}");
        }
    }

    fn exec() -> Exec {
        let env = [("PGPASSWORD".to_owned(), Zeroizing::new("\u{1}geheim\"".repeat(100)))];
        Exec {
            container: "db".into(),
            command: vec!["pg_dump".into(), "wi ki".into()],
            env: env.into(),
            user: Some("postgres".into()),
        }
    }

    #[test]
    fn a_password_is_in_the_body_only_and_the_body_never_grows() {
        let exec = exec();
        assert!(!format!("{exec:?}").contains("geheim"));
        let body = create_body(&exec, true);
        let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(read["Env"][0], format!("PGPASSWORD={}", "\u{1}geheim\"".repeat(100)));
        assert_eq!(read["Cmd"], serde_json::json!(["pg_dump", "wi ki"]));
        assert_eq!((&read["Tty"], &read["AttachStdin"]), (&false.into(), &true.into()));
        assert_eq!(read["User"], "postgres");
        // Capacity as it was made: 6 bytes a byte, and a little.
        let words = 6 * (11 + 800 + 7 + 5 + 8) + 3 * 3 + 256;
        assert_eq!(body.capacity(), words);
    }

    #[test]
    fn what_cannot_be_sent_is_refused_without_telling_values() {
        let with = |change: fn(&mut Exec)| {
            let mut exec = exec();
            change(&mut exec);
            check(&exec).map_err(|error| error.to_string())
        };
        with(|_| {}).unwrap();
        let changes: [fn(&mut Exec); 7] = [
            |exec| exec.container = "../x".into(),
            |exec| exec.command = Vec::new(),
            |exec| exec.command = vec![String::new()],
            |exec| exec.command.push("a\0b".into()),
            |exec| drop(exec.env.insert("A=B".into(), Zeroizing::default())),
            |exec| drop(exec.env.insert(String::new(), Zeroizing::default())),
            |exec| drop(exec.env.insert("A".into(), Zeroizing::new("geheim\0".into()))),
        ];
        for change in changes {
            let error = with(change).unwrap_err();
            assert!(!error.contains("geheim"), "{error}");
        }
    }
}
