//! Paths that the parent may hold incompletely.
//!
//! An attribute that could not be read is missing from the parent's entry. Equal times prove that a
//! file did not change, not that the entry is complete. If later backups reused the entry, the loss
//! would be reported once and last for ever, and a restore would remove the attribute.

use std::collections::BTreeSet;

use crate::format::snapshot::{Snapshot, SnapshotProblem};

/// Kind of a snapshot's problem: something could not be read.
const UNREADABLE: u8 = 1;

/// Paths with problems in the parent.
#[derive(Default)]
pub(super) struct Doubts {
    paths: BTreeSet<Vec<u8>>,
    is_all: bool,
}

impl Doubts {
    /// Takes the problems of the parent; if its list is cut off, every path is doubtful.
    pub(super) fn of(parent: &Snapshot) -> Self {
        let is_unreadable = |problem: &&SnapshotProblem| problem.kind == UNREADABLE;
        // The list has these first: if its last one is of another kind, none of these is cut off.
        let is_cut = parent.problem_count > parent.problems.len() as u64;
        let is_all = is_cut && parent.problems.last().is_none_or(|last| is_unreadable(&last));
        let paths =
            parent.problems.iter().filter(is_unreadable).map(|problem| problem.path.clone());
        Self { paths: paths.collect(), is_all }
    }

    /// Returns whether the parent's entry of `path` itself may be incomplete.
    pub(super) fn is_on(&self, path: &[u8]) -> bool {
        self.is_all || self.paths.contains(path)
    }

    /// Returns whether an entry directly in the directory at `path` may be incomplete.
    pub(super) fn is_in(&self, path: &[u8]) -> bool {
        if self.is_all || self.paths.is_empty() {
            return self.is_all;
        }
        let prefix = [path, b"/"].concat();
        let below =
            self.paths.range(prefix.clone()..).take_while(|doubted| doubted.starts_with(&prefix));
        below.into_iter().any(|doubted| !doubted[prefix.len()..].contains(&b'/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_is_on_what_is_named_and_in_the_folder_above() {
        let paths = [&b"/a/b"[..], b"/a/b/c/d", b"/e"].map(<[u8]>::to_vec);
        let doubts = Doubts { paths: BTreeSet::from(paths), is_all: false };
        assert!([&b"/a/b"[..], b"/a/b/c/d", b"/e"].iter().all(|path| doubts.is_on(path)));
        assert!([&b"/a"[..], b"/a/b/c", b"/a/b/d", b""].iter().all(|path| !doubts.is_on(path)));
        assert!([&b"/a"[..], b"/a/b/c", b""].iter().all(|path| doubts.is_in(path)));
        assert!([&b"/a/b"[..], b"/e", b"/a/b/c/d"].iter().all(|path| !doubts.is_in(path)));
        let all = Doubts { is_all: true, ..Doubts::default() };
        assert!(all.is_on(b"/x") && all.is_in(b"/x"));
    }
}
