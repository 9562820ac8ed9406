//! Processes that are nobody's children any more.
//!
//! In a container the daemon may be the first process: what a hook leaves running becomes its
//! child, and stays in the table of processes after its end until its parent asks how it ended.

use std::fs;

use rustix::process::{Pid, WaitOptions, waitpid};

/// Takes the ended children that are not among `own` off the table of processes, if this is the
/// first process.
pub(super) fn reap_if_init(own: &[u32]) {
    if std::process::id() == 1 {
        reap(own);
    }
}

/// Takes the ended children of this process that are not among `own` off the table of processes.
/// Returns their number.
fn reap(own: &[u32]) -> usize {
    let parent = std::process::id();
    let Ok(all) = fs::read_dir("/proc") else { return 0 };
    let ids = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_ended = |id: &u32| {
        let stat = fs::read(format!("/proc/{id}/stat")).unwrap_or_default();
        state_of(&stat) == Some((b'Z', parent))
    };
    let strangers = ids.filter(|id| !own.contains(id)).filter(is_ended);
    let reaped = strangers.filter(|id| {
        let id = i32::try_from(*id).ok().and_then(Pid::from_raw);
        id.is_some_and(|id| matches!(waitpid(Some(id), WaitOptions::NOHANG), Ok(Some(_))))
    });
    reaped.count()
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
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn ended_children_of_nobody_are_reaped_and_own_ones_are_not() {
        let mut own = Command::new("true").spawn().unwrap();
        let mut stranger = Command::new("true").spawn().unwrap();
        let began = Instant::now();
        let mut reaped = 0;
        while reaped == 0 && began.elapsed() < Duration::from_secs(20) {
            reaped = reap(&[own.id()]);
        }
        assert_eq!(reaped, 1);
        assert!(stranger.wait().is_err(), "its end was asked for");
        assert!(own.wait().unwrap().success());
        assert_eq!(reap(&[]), 0);
    }

    #[test]
    fn a_name_with_brackets_hides_nothing() {
        assert_eq!(state_of(b"7 (a) Z 9 (b) S 3 7 7"), Some((b'S', 3)));
        assert_eq!(state_of(b"7 (a"), None);
    }
}
