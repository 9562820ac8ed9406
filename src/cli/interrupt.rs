//! Ctrl-C and its kin: the first signal asks the running operation to stop, the second ends the program at once.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use super::failure::Exit;
use super::streams;
use crate::monitor::Monitor;
use crate::ui::output::write_stderr;
use crate::ui::prompt;

/// The operation that a signal stops.
static RUNNING: Mutex<Option<Arc<Monitor>>> = Mutex::new(None);

/// Begins to listen for signals.
pub fn listen() -> io::Result<()> {
    // A file that may not grow any more is an error of whoever writes it, as a full disk is, not the end of the program.
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    let ignored = ignored_signals();
    let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0);
    let mut signals = Signals::new(wanted)?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match running {
                Some(monitor) if !monitor.is_cancelled() => monitor.cancel(),
                // Nothing stored can be half: ending at any moment is safe, and this user has asked twice.
                _ => end_now(),
            }
        }
    })?;
    Ok(())
}

/// Returns the signals that whoever started the program wants ignored (`nohup`, `&` in a script), as bits; none where nothing tells.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn end_now() -> ! {
    prompt::restore_terminal();
    streams::kill_commands();
    #[cfg(feature = "sftp")]
    crate::store::sftp::proxy::kill_all();
    write_stderr("\n");
    signal_hook::low_level::exit(Exit::Interrupted as i32)
}

/// Makes an operation the one that signals stop, until the guard is dropped.
pub fn while_running(monitor: &Arc<Monitor>) -> Guard {
    *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(monitor));
    Guard
}

/// Returns whether a signal has asked the running operation to stop.
pub fn is_stopping() -> bool {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|monitor| monitor.is_cancelled())
}

/// Ends what [`while_running`] began.
pub struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
