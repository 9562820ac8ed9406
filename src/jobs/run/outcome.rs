//! Outcomes of a run in words, and the time limit of a run.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::connect::hints::{hint_of, hint_of_opening, is_of_another_version};
use crate::jobs::error as jobs;
use crate::jobs::state::Fault;
use crate::monitor::Monitor;
use crate::{backup, repo};

/// Returns an error with its causes in one line, each once.
pub fn in_words(error: &dyn Error) -> String {
    [vec![error.to_string()], causes_of(error)].concat().join(": ")
}

/// Returns the causes of an error, without those whose words are in an earlier one.
pub(super) fn causes_of(error: &dyn Error) -> Vec<String> {
    let (mut said, mut causes) = (vec![error.to_string()], Vec::new());
    let mut cause = error.source();
    while let Some(next) = cause {
        let text = next.to_string();
        if !said.iter().any(|words| words.contains(&text)) {
            causes.push(text.clone());
            said.push(text);
        }
        cause = next.source();
    }
    causes
}

/// Returns the trouble of a repository by which a run failed, and what can be done about it.
pub(super) fn fault_of(error: &jobs::Error) -> (Option<Fault>, Option<String>) {
    let (error, hint) = match error {
        jobs::Error::Connect(error) => (error.repository(), hint_of_opening(error)),
        jobs::Error::Backup(backup::Error::Repository(error)) => {
            (Some(error), hint_of(error).map(str::to_owned))
        }
        jobs::Error::Backup(_) => (None, None),
    };
    let hint = hint.filter(|hint| !hint.is_empty());
    let Some(error) = error else { return (None, hint) };
    let fault = match error {
        repo::Error::RolledBack { .. } | repo::Error::Unjustified { .. } => Some(Fault::RolledBack),
        // Removed by another process at the same time, which is no damage.
        repo::Error::Swept { .. } => None,
        error if is_of_another_version(error) => None,
        error => error.is_damage().then_some(Fault::Damage),
    };
    (fault, hint)
}

/// A watch that cancels a run at its time limit, until it is dropped.
pub(super) struct Deadline {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    has_ended: AtomicBool,
    was_reached: AtomicBool,
}

impl Deadline {
    /// Starts the watch. Without a thread there is no limit.
    pub(super) fn watch(monitor: &Arc<Monitor>, timeout: Duration) -> Self {
        let shared = Arc::new(Shared::default());
        let (of_thread, monitor) = (shared.clone(), Arc::clone(monitor));
        let end = Instant::now() + timeout;
        let run = move || {
            while !of_thread.has_ended.load(Ordering::Relaxed) {
                if Instant::now() >= end {
                    of_thread.was_reached.store(true, Ordering::Relaxed);
                    return monitor.cancel();
                }
                std::thread::park_timeout(Duration::from_millis(500));
            }
        };
        let thread = std::thread::Builder::new().name("deadline".to_owned()).spawn(run).ok();
        Self { shared, thread }
    }

    /// Returns whether the limit was reached.
    pub(super) fn was_reached(&self) -> bool {
        self.shared.was_reached.load(Ordering::Relaxed)
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_cancelled_at_its_limit_and_not_after_its_end() {
        let monitor = Arc::new(Monitor::default());
        drop(Deadline::watch(&monitor, Duration::from_secs(3600)));
        assert!(!monitor.is_cancelled());
        let watch = Deadline::watch(&monitor, Duration::ZERO);
        let asked = Instant::now();
        while !monitor.is_cancelled() {
            assert!(asked.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(watch.was_reached());
    }
}
