//! Sources that had files and have none any more, or lost most of them: a disk that is not mounted looks like that.

use std::sync::{Mutex, PoisonError};

use crate::format::snapshot::Snapshot;
use crate::monitor::{Monitor, ProblemKind};

/// From how many lost files on it is worth saying that most of them are gone.
const LOST_MIN: u64 = 5;

/// How many files each source had and has.
#[derive(Default)]
pub struct Losses(Mutex<Vec<Held>>);

struct Held {
    path: Vec<u8>,
    before: u64,
    now: u64,
}

impl Losses {
    /// Notes what became of a source.
    pub fn note(&self, path: &[u8], before: u64, now: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Held { path: path.to_vec(), before, now });
    }

    /// Says which sources lost their files since the last snapshot, or had lost them then already.
    pub fn tell(self, parent: Option<&Snapshot>, allows: bool, monitor: &Monitor) {
        for Held { path, before, now } in self.0.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let before = before.max(parent.map_or(0, |parent| missed(parent, &path)));
            let is_lost = now == 0 && before > 0 || before.saturating_sub(now) >= LOST_MIN && now < before / 2;
            if is_lost {
                let kind = if allows { ProblemKind::Notice } else { ProblemKind::Unreadable };
                monitor.problem(kind, &path, in_words(before, now));
            }
        }
    }
}

/// Returns whether the snapshot says of any source that it lost its files.
pub fn is_told_in(snapshot: &Snapshot) -> bool {
    snapshot.problems.iter().any(|problem| before_of(&problem.message).is_some())
}

const HAD: &str = "this source had ";

fn in_words(before: u64, now: u64) -> String {
    let (plural, has) = (if before == 1 { "" } else { "s" }, if now == 0 { "none".to_owned() } else { now.to_string() });
    format!(
        "{HAD}{before} file{plural} in an earlier snapshot and has {has} now: is its disk mounted? (--allow-empty accepts it)"
    )
}

/// Returns how many files the parent says that a source had before it lost them: what was told once is told until somebody accepts it.
fn missed(parent: &Snapshot, path: &[u8]) -> u64 {
    let of_path = parent.problems.iter().filter(|problem| problem.path == path);
    of_path.filter_map(|problem| before_of(&problem.message)).max().unwrap_or(0)
}

fn before_of(message: &str) -> Option<u64> {
    message.strip_prefix(HAD)?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(before: u64, now: u64) -> usize {
        let (losses, monitor) = (Losses::default(), Monitor::default());
        losses.note(b"/x", before, now);
        losses.tell(None, false, &monitor);
        monitor.problems().len()
    }

    #[test]
    fn nothing_left_is_told_and_so_is_little() {
        assert_eq!([told(1, 0), told(10, 4), told(1000, 1)], [1; 3]);
        assert_eq!([told(0, 0), told(10, 5), told(4, 1), told(0, 9), told(5, 5)], [0; 5]);
    }

    #[test]
    fn what_was_told_can_be_read_again() {
        for (before, now) in [(1, 0), (120, 3)] {
            assert_eq!(before_of(&in_words(before, now)), Some(before));
        }
        assert_eq!(before_of("permission denied"), None);
    }
}
