//! What the parent could not read wholly: there equal stamps prove that a file did not change, not
//! that the snapshot has all of it.
//!
//! An attribute that could not be read is missing from the parent's entry. If that entry were taken
//! over because the file did not change, the loss would be told once and last for ever, and a
//! restore would take the attribute away from where it still is.

use std::collections::BTreeSet;

use crate::format::snapshot::{Snapshot, SnapshotProblem};

/// The kind of a snapshot's problem that says that something could not be read.
const UNREADABLE: u8 = 1;

/// The paths of which the parent may not have everything.
#[derive(Default)]
pub struct Doubts {
    paths: BTreeSet<Vec<u8>>,
    is_all: bool,
}

impl Doubts {
    /// Takes what the parent says; if it could not list all that it lacks, everything is doubtful.
    pub fn of(parent: &Snapshot) -> Self {
        let is_unreadable = |problem: &&SnapshotProblem| problem.kind == UNREADABLE;
        // What could not be read comes first.
        let is_cut = parent.problem_count > parent.problems.len() as u64;
        let is_all = is_cut && parent.problems.last().is_none_or(|last| is_unreadable(&last));
        let paths =
            parent.problems.iter().filter(is_unreadable).map(|problem| problem.path.clone());
        Self { paths: paths.collect(), is_all }
    }

    /// Returns whether the parent may not have all of what is at `path`; what lies below it is
    /// another matter.
    pub fn is_on(&self, path: &[u8]) -> bool {
        self.is_all || self.paths.contains(path)
    }

    /// Returns whether that holds for anything that lies directly in the folder at `path`.
    pub fn is_in(&self, path: &[u8]) -> bool {
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
