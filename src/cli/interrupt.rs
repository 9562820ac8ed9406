//! Signals: the first one cancels the running operation, the second ends the program at once. The
//! daemon gets each of them instead.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use crossbeam_channel::{Receiver, Sender, unbounded};
use rustix::process::Signal;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use super::exit::Exit;
use super::processes;
use crate::monitor::Monitor;
use crate::sources::{process, shell_command};
use crate::sync::lock;
use crate::ui::output::write_stderr;
use crate::ui::prompt;

/// The operation that a signal cancels.
static RUNNING: Mutex<Option<Arc<Monitor>>> = Mutex::new(None);

/// The signals that the daemon has not seen yet.
static QUEUE: OnceLock<Receiver<i32>> = OnceLock::new();

/// Starts the signal thread.
pub(super) fn listen() -> io::Result<()> {
    refuse_large_files()?;
    let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal));
    let mut signals = Signals::new(wanted)?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            let running = lock(&RUNNING).clone();
            match running {
                Some(monitor) if !monitor.is_cancelled() => monitor.cancel(),
                // Objects are stored whole or not at all, so ending at any moment is safe.
                _ => end_now(),
            }
        }
    })?;
    Ok(())
}

/// Starts the signal thread of the daemon: nothing is cancelled, [`queue`] has the signals.
///
/// The end of a child is one of them. None is passed over because it was ignored before: a daemon
/// that `nohup` started reads its configuration again, too.
pub(super) fn listen_for_daemon() -> io::Result<()> {
    refuse_large_files()?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGCHLD])?;
    let (sender, receiver): (Sender<i32>, _) = unbounded();
    QUEUE.get_or_init(|| receiver);
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            // Its receiver is never dropped.
            let _ = sender.send(signal);
        }
    })?;
    Ok(())
}

/// Returns the signals that came since [`listen_for_daemon`].
pub(super) fn queue() -> &'static Receiver<i32> {
    QUEUE.get().expect("the daemon listens before it begins")
}

/// Exceeding the file size limit shall be a write error, like a full disk, not the end of the
/// program.
fn refuse_large_files() -> io::Result<()> {
    signal_hook::flag::register(SIGXFSZ, Arc::default()).map(drop)
}

/// Returns whether the program was started with a signal ignored (`nohup`, `&` in a script).
///
/// Asks the kernel, since `/proc` may not be mounted.
fn is_ignored(signal: i32) -> bool {
    // SAFETY: all zeros is a value of this type of plain numbers, and without a new action the call
    // only writes the old one there.
    let (asked, old) = unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        (libc::sigaction(signal, std::ptr::null(), &raw mut old), old)
    };
    asked == 0 && old.sa_sigaction == libc::SIG_IGN
}

fn end_now() -> ! {
    prompt::restore_terminal();
    // They were asked to stop once: the second time they end their own programs and themselves.
    processes::signal_all(Signal::TERM);
    process::kill_all();
    shell_command::kill_pipelines();
    #[cfg(feature = "sftp")]
    crate::store::sftp::proxy::kill_all();
    write_stderr("\n");
    signal_hook::low_level::exit(Exit::Interrupted as i32)
}

/// Lets signals cancel this operation until the guard is dropped.
pub(super) fn while_running(monitor: &Arc<Monitor>) -> Guard {
    *lock(&RUNNING) = Some(Arc::clone(monitor));
    Guard
}

/// Returns whether a signal has asked the running operation to stop.
pub(super) fn is_stopping() -> bool {
    lock(&RUNNING).as_ref().is_some_and(|monitor| monitor.is_cancelled())
}

/// Guard of [`while_running`].
pub(super) struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        *lock(&RUNNING) = None;
    }
}
