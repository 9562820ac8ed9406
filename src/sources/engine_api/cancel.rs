//! End of a command that nobody waits for any more.
//!
//! The API has no way to end an exec, and closing its stream does not: the engine goes on to read
//! its output and throws it away. The process id that it tells is the host's, which means nothing
//! to a program in a container. So the process gets a variable with a random value, and a second
//! exec in the same container sends a signal to all processes that have it: the process and those
//! that it started, wherever this program runs. That needs `sh` and `grep` in the image, and the
//! same user; else the process is left, which is said.

use std::fmt::Write as _;
use std::io::Read;
use std::time::Duration;

use zeroize::Zeroizing;

use super::connection::{Deadline, Patience};
use super::engine::Engine;
use super::error::{Error, Result};
use super::exec::{Exec, ExecState};

/// Name of the variable that marks a process.
const MARKER: &str = "DRUMLIN_EXEC";
/// Time for all of it: the user who stopped a backup waits for this.
pub(super) const END_TIME_MAX: Duration = Duration::from_secs(10);
/// Time for a process to end after a signal.
const GRACE: Duration = Duration::from_secs(2);
/// Interval at which the engine is asked whether it has ended.
const WAIT: Duration = Duration::from_millis(50);
/// Sends signal `$2` to all processes of the container with the variable `$1`. Arguments of the
/// shell are no variables, so it does not find itself.
const SCRIPT: &str = r#"for p in /proc/[0-9]*; do
  if grep -qsF "$1" "$p/environ"; then kill "-$2" "${p#/proc/}"; fi
done"#;

/// A process in a container.
pub(super) struct Process {
    pub engine: Engine,
    pub container: String,
    /// First word of the command, for messages.
    pub program: String,
    pub user: Option<String>,
    /// Id of the exec.
    pub id: String,
    /// Variable and value.
    pub marker: String,
}

impl Process {
    /// Returns what the engine tells of it.
    pub(super) fn state(&self, deadline: Deadline) -> Result<ExecState> {
        self.engine.exec_state(&self.program, &self.id, deadline)
    }
}

/// Returns a command with a variable that no other process has, and that variable.
pub(super) fn mark(exec: &Exec) -> Result<(Exec, String)> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(Error::Random)?;
    let mut value = String::with_capacity(2 * random.len());
    for byte in random {
        let _ = write!(value, "{byte:02x}");
    }
    let mut exec = exec.clone();
    exec.env.insert(MARKER.into(), Zeroizing::new(value.clone()));
    Ok((exec, format!("{MARKER}={value}")))
}

/// Ends a process and its children: by `TERM`, then by `KILL`. Fails if they may still run, after
/// at most `time_max`.
pub(super) fn end_process(process: &Process, time_max: Duration) -> Result<()> {
    let deadline = Deadline::after(time_max);
    for signal in ["TERM", "KILL"] {
        if has_ended(process, deadline)? {
            return Ok(());
        }
        send_signal(process, signal, deadline)?;
        let grace = Deadline::after(GRACE);
        while !grace.has_passed() {
            if has_ended(process, deadline)? {
                return Ok(());
            }
            std::thread::sleep(WAIT);
        }
    }
    Err(Error::Incomplete {
        container: process.container.clone(),
        program: process.program.clone(),
        why: "could not be stopped and may still run",
        last_words: String::new(),
    })
}

/// Returns whether a process has ended, or the engine has forgotten it, as it does with its
/// container.
fn has_ended(process: &Process, deadline: Deadline) -> Result<bool> {
    match process.state(deadline) {
        Ok(state) => Ok(matches!(state, ExecState::Ended(_))),
        Err(Error::Refused { status: 404, .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Runs [`SCRIPT`] and waits for its end.
fn send_signal(process: &Process, signal: &str, deadline: Deadline) -> Result<()> {
    let words = ["sh", "-c", SCRIPT, "sh", &process.marker, signal];
    let exec = Exec {
        container: process.container.clone(),
        command: words.map(str::to_owned).into(),
        user: process.user.clone(),
        ..Exec::default()
    };
    let id = process.engine.create_exec(&exec, false, deadline)?.id;
    let (mut connection, _) = process.engine.start_exec(&exec, &id, Patience::until(deadline))?;
    let mut scrap = [0; 4 << 10];
    // What it prints says nothing: whether the process has ended is asked for.
    while connection.read(&mut scrap).is_ok_and(|len| len > 0) {}
    Ok(())
}
