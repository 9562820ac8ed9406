//! Coverage of a snapshot: which paths were backed up completely, and which of them could not be
//! read.

use std::collections::BTreeSet;

use crate::format::snapshot::Snapshot;
use crate::id::ChunkId;

/// The relation of a path to the sources of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceRelation {
    /// An ancestor of a source: the snapshot contains it only as part of the path.
    Above,
    /// A source.
    Source,
    /// Below a source.
    Below,
}

/// Coverage of one snapshot; all paths are absolute paths in it.
pub(crate) struct SourceCoverage {
    root: ChunkId,
    sources: Vec<Vec<u8>>,
    unread: BTreeSet<Vec<u8>>,
    is_list_truncated: bool,
    is_in_place: bool,
}

impl SourceCoverage {
    /// Takes the statements of a snapshot; `is_in_place` if the target's paths are those that were
    /// backed up.
    pub(crate) fn new(snapshot: &Snapshot, is_in_place: bool) -> Self {
        let sources =
            snapshot.sources.iter().map(|source| without_slash(source).to_vec()).collect();
        let unread =
            snapshot.problems.iter().map(|problem| without_slash(&problem.path).to_vec()).collect();
        Self {
            root: snapshot.root,
            sources,
            unread,
            is_list_truncated: snapshot.problem_count > snapshot.problems.len() as u64,
            is_in_place,
        }
    }

    /// Returns the tree of the snapshot's root directory.
    pub(crate) fn root(&self) -> ChunkId {
        self.root
    }

    /// Returns the relation of a path to the sources; the path of the root directory is empty.
    pub(crate) fn relation(&self, path: &[u8]) -> SourceRelation {
        if self.sources.iter().any(|source| source == path) {
            SourceRelation::Source
        } else if !self.covers(path)
            && self.sources.iter().any(|source| is_at_or_below(source, path))
        {
            SourceRelation::Above
        } else {
            SourceRelation::Below
        }
    }

    /// Returns whether a path was backed up with everything in it. Only there may a missing entry
    /// mean "remove".
    pub(crate) fn covers(&self, path: &[u8]) -> bool {
        self.sources.iter().any(|source| is_at_or_below(path, source))
    }

    /// Returns whether the target's paths are those that were backed up, so that the directories
    /// above them belong to this machine.
    pub(crate) fn is_in_place(&self) -> bool {
        self.is_in_place
    }

    /// Returns whether more paths could not be read than the snapshot lists. Then a missing entry
    /// means nothing.
    pub(crate) fn is_list_truncated(&self) -> bool {
        self.is_list_truncated
    }

    /// Returns whether the snapshot lists any path as not read.
    pub(crate) fn lists_any(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Returns whether the snapshot lists exactly this path as not read, or not completely.
    pub(crate) fn is_listed(&self, path: &[u8]) -> bool {
        self.unread.contains(path)
    }

    /// Returns whether the snapshot lists this path, an ancestor or a descendant of it as not read.
    pub(crate) fn is_unread(&self, path: &[u8]) -> bool {
        if self.unread.is_empty() {
            return false;
        }
        let below = [path, b"/"].concat();
        let above = (1..path.len()).filter(|at| path[*at] == b'/').map(|at| &path[..at]);
        self.unread.contains(path)
            || self
                .unread
                .range(below.clone()..)
                .next()
                .is_some_and(|listed| listed.starts_with(&below))
            || above.into_iter().any(|above| self.unread.contains(above))
    }
}

fn without_slash(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

/// Returns whether `path` is `dir` or below it; the path of the root directory is empty.
fn is_at_or_below(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coverage(sources: &[&[u8]], unread: &[&[u8]]) -> SourceCoverage {
        let owned = |paths: &[&[u8]]| {
            paths.iter().map(|path| without_slash(path).to_vec()).collect::<Vec<_>>()
        };
        let unread = owned(unread).into_iter().collect();
        SourceCoverage {
            root: ChunkId([0; 32]),
            sources: owned(sources),
            unread,
            is_list_truncated: false,
            is_in_place: true,
        }
    }

    #[test]
    fn only_what_was_backed_up_whole_is_covered() {
        let coverage = coverage(&[b"/home/u", b"/srv/"], &[]);
        assert!(
            [&b"/home/u"[..], b"/home/u/x", b"/srv", b"/srv/a"]
                .iter()
                .all(|path| coverage.covers(path))
        );
        assert!(
            [&b""[..], b"/home", b"/home/user", b"/srvx"].iter().all(|path| !coverage.covers(path))
        );
        let relation = [&b""[..], b"/home", b"/home/u", b"/home/u/x", b"/srv"]
            .map(|path| coverage.relation(path));
        assert_eq!(
            relation,
            [
                SourceRelation::Above,
                SourceRelation::Above,
                SourceRelation::Source,
                SourceRelation::Below,
                SourceRelation::Source
            ]
        );
        assert!(
            super::tests::coverage(&[b"/"], &[]).covers(b"")
                && super::tests::coverage(&[b"/"], &[]).covers(b"/home")
        );
    }

    #[test]
    fn a_source_in_another_is_no_way() {
        let coverage = coverage(&[b"/a/b/c", b"/a"], &[]);
        let relation = [&b""[..], b"/a", b"/a/b", b"/a/b/c"].map(|path| coverage.relation(path));
        assert_eq!(
            relation,
            [
                SourceRelation::Above,
                SourceRelation::Source,
                SourceRelation::Below,
                SourceRelation::Source
            ]
        );
    }

    #[test]
    fn what_was_not_read_holds_for_what_is_below_and_above() {
        let coverage = coverage(&[b"/"], &[b"/a/b", b"/a/b-c/d"]);
        for path in [&b"/a/b"[..], b"/a/b/x/y", b"/a", b"/a/b-c", b"/a/b-c/d/e", b""] {
            assert!(coverage.is_unread(path), "{}", String::from_utf8_lossy(path));
        }
        for path in [&b"/a/bb"[..], b"/a/b-", b"/a/b-c/e", b"/b"] {
            assert!(!coverage.is_unread(path), "{}", String::from_utf8_lossy(path));
        }
    }
}
