//! Commands of the user around a run.
//!
//! Each runs in a process group of its own, for at most its time limit, and is stopped with all its
//! children after that, or when the run is stopped.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::state::HookRecord;
use crate::monitor::Monitor;
use crate::sources::process::{self, Output, Program};

/// Exit code with which `before` leaves a run out: the EX_TEMPFAIL of sendmail.
pub const SKIP_CODE: i32 = 75;
/// Longest time of a hook, if nothing else is configured.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(600);

/// Moment of a run at which a command is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookEvent {
    /// Before anything is read.
    Before,
    /// After a snapshot, or if nothing changed.
    After,
    /// After a failure.
    Failed,
    /// In any case.
    Finally,
}

impl HookEvent {
    /// Returns its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Failed => "failed",
            Self::Finally => "finally",
        }
    }
}

/// How a hook ended.
#[derive(Debug)]
pub struct HookEnd {
    /// For the record of the run.
    pub record: HookRecord,
    /// Why it failed; `None` if it succeeded.
    pub error: Option<io::Error>,
}

/// Runs a command for an event, with these variables in its environment.
pub fn run(
    event: HookEvent,
    command: &str,
    variables: &BTreeMap<&'static str, String>,
    timeout: Duration,
    monitor: &Arc<Monitor>,
) -> HookEnd {
    let began = Instant::now();
    let ended = run_until(command, variables, timeout, monitor);
    let seconds = began.elapsed().as_secs_f64();
    let code = match &ended {
        Ok(()) => Some(0),
        Err(error) => exit_code_of(error),
    };
    let record = HookRecord { event: event.name().to_owned(), code, seconds };
    HookEnd { record, error: ended.err() }
}

/// Returns the exit code that a program's failure carries.
pub fn exit_code_of(error: &io::Error) -> Option<i32> {
    process::exit_code(error)
}

fn run_until(
    command: &str,
    variables: &BTreeMap<&'static str, String>,
    timeout: Duration,
    monitor: &Arc<Monitor>,
) -> io::Result<()> {
    let mut program = Program::shell(command, command).keep_errors();
    for (name, value) in variables {
        program = program.env(name, value);
    }
    let mut running = program.start(monitor)?;
    let stop = running.stop_flag();
    let has_ended = AtomicBool::new(false);
    let deadline = Instant::now() + timeout;
    let (ended, is_late) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| stop_at(deadline, &has_ended, &stop));
        let ended = running.pass_on().and_then(|()| running.finish());
        has_ended.store(true, Ordering::Relaxed);
        (ended, watcher.join().unwrap_or(false))
    });
    match ended {
        Err(_) if is_late => {
            let why = format!("`{command}` was stopped after {} s", timeout.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        }
        ended => ended,
    }
}

/// Sets `stop` at the deadline, and returns whether it did, unless the program has ended before.
fn stop_at(deadline: Instant, has_ended: &AtomicBool, stop: &AtomicBool) -> bool {
    while !has_ended.load(Ordering::Relaxed) {
        if Instant::now() >= deadline {
            stop.store(true, Ordering::Relaxed);
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(command: &str, timeout: Duration) -> HookEnd {
        let variables = BTreeMap::from([("DRUMLIN_APP", "wiki".to_owned())]);
        run(HookEvent::Before, command, &variables, timeout, &Arc::new(Monitor::default()))
    }

    #[test]
    fn hooks_have_their_environment_and_their_exit_code() {
        let good = hook("test \"$DRUMLIN_APP\" = wiki && echo much | cat", TIMEOUT_DEFAULT);
        assert!(good.error.is_none() && good.record.code == Some(0), "{good:?}");
        let skip = hook("echo on battery >&2; exit 75", TIMEOUT_DEFAULT);
        assert_eq!(skip.record.code, Some(SKIP_CODE));
        assert!(skip.error.unwrap().to_string().contains("on battery"));
    }

    #[test]
    fn what_a_hook_prints_is_passed_on() {
        let said = Arc::<std::sync::Mutex<Vec<String>>>::default();
        let (monitor, heard) = (Arc::new(Monitor::default()), Arc::clone(&said));
        monitor.hear_programs(move |_, line| heard.lock().unwrap().push(line.to_owned()));
        let command = "echo one; echo two >&2; printf three";
        let end = run(HookEvent::After, command, &BTreeMap::new(), TIMEOUT_DEFAULT, &monitor);
        assert!(end.error.is_none(), "{end:?}");
        let mut said = said.lock().unwrap().clone();
        said.sort();
        assert_eq!(said, ["one", "three", "two"]);
    }

    #[test]
    fn a_hook_that_hangs_is_stopped_with_its_children() {
        let began = Instant::now();
        let end = hook("sleep 1000 & sleep 1000", Duration::from_millis(300));
        assert!(began.elapsed() < Duration::from_secs(30));
        assert_eq!(end.error.unwrap().kind(), io::ErrorKind::TimedOut);
        assert_eq!(end.record.code, None);
    }
}
