//! Processes that are nobody's children any more.
//!
//! In a container the daemon may be the first process: what a hook leaves running becomes its
//! child, and stays in the table of processes after its end until its parent asks how it ended.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitOptions, waitpid};

/// Time that an ended child has been there before it counts as nobody's. Who started one (a thread
/// that sends mail) asks sooner how it ended, and must not find it gone.
const AGE_MIN: Duration = Duration::from_secs(60);

/// Ended children of this process, and when each was first seen.
#[derive(Default)]
pub(super) struct Strangers {
    seen: BTreeMap<u32, Instant>,
}

impl Strangers {
    /// Takes the ended children that are not among `own` off the table of processes, if this is the
    /// first process.
    pub(super) fn reap_if_init(&mut self, own: &[u32]) {
        if std::process::id() == 1 {
            self.reap(own, AGE_MIN);
        }
    }

    /// Takes those off that have been there for so long. Returns their number.
    fn reap(&mut self, own: &[u32], age: Duration) -> usize {
        let ended = ended_children(own);
        self.seen.retain(|id, _| ended.contains(id));
        let now = Instant::now();
        let reaped = ended.iter().filter(|id| {
            let first = *self.seen.entry(**id).or_insert(now);
            let id = i32::try_from(**id).ok().and_then(Pid::from_raw);
            let wait = |id| matches!(waitpid(Some(id), WaitOptions::NOHANG), Ok(Some(_)));
            now.duration_since(first) >= age && id.is_some_and(wait)
        });
        reaped.count()
    }
}

/// Returns the ended children of this process that are not among `own`.
fn ended_children(own: &[u32]) -> Vec<u32> {
    let parent = std::process::id();
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_ended = |id: &u32| {
        let stat = fs::read(format!("/proc/{id}/stat")).unwrap_or_default();
        state_of(&stat) == Some((b'Z', parent))
    };
    ids.filter(|id| !own.contains(id)).filter(is_ended).collect()
}

/// Returns the state of a process and its parent. The name before them may hold anything.
fn state_of(stat: &[u8]) -> Option<(u8, u32)> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let mut words = rest.split_ascii_whitespace();
    let state = words.next()?.bytes().next()?;
    Some((state, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn ended_children_of_nobody_are_reaped_and_own_ones_are_not() {
        let mut own = Command::new("true").spawn().unwrap();
        let mut stranger = Command::new("true").spawn().unwrap();
        let began = Instant::now();
        let mut strangers = Strangers::default();
        while ended_children(&[]).len() < 2 && began.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(strangers.reap(&[own.id()], AGE_MIN), 0, "who started it may still ask");
        assert_eq!(strangers.seen.len(), 1);
        assert_eq!(strangers.reap(&[own.id()], Duration::ZERO), 1);
        assert!(stranger.wait().is_err(), "its end was asked for");
        assert!(own.wait().unwrap().success());
        assert_eq!(strangers.reap(&[], Duration::ZERO), 0);
        assert!(strangers.seen.is_empty());
    }

    #[test]
    fn a_name_with_brackets_hides_nothing() {
        assert_eq!(state_of(b"7 (a) Z 9 (b) S 3 7 7"), Some((b'S', 3)));
        assert_eq!(state_of(b"7 (a"), None);
    }
}
