//! What a snapshot says of whole paths: which were backed up, what in them could not be read, and
//! whether they lie where they lay.

use std::collections::BTreeSet;

use crate::format::snapshot::Snapshot;
use crate::id::ChunkId;

/// How a path lies to the sources of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceRelation {
    /// A folder on the way to a source: the snapshot has it only to lead there.
    Above,
    /// A source itself.
    Source,
    /// Below a source.
    Below,
}

/// Answers questions about paths, which are absolute and stand as in the snapshot.
pub struct SourceCoverage {
    root: ChunkId,
    sources: Vec<Vec<u8>>,
    unread: BTreeSet<Vec<u8>>,
    is_list_truncated: bool,
    is_in_place: bool,
}

impl SourceCoverage {
    /// Takes what a snapshot says; `is_in_place` if paths in the target are those that were backed
    /// up.
    pub fn new(snapshot: &Snapshot, is_in_place: bool) -> Self {
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

    /// Returns the tree of the snapshot's root folder.
    pub fn root(&self) -> ChunkId {
        self.root
    }

    /// Returns how a path lies to the sources; the root folder's own path is empty.
    pub fn relation(&self, path: &[u8]) -> SourceRelation {
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

    /// Returns whether a path was backed up with all that is in it: only there may the snapshot's
    /// silence mean "remove".
    pub fn covers(&self, path: &[u8]) -> bool {
        self.sources.iter().any(|source| is_at_or_below(path, source))
    }

    /// Returns whether paths in the target are those that were backed up, so that what leads to
    /// them is the machine's own.
    pub fn is_in_place(&self) -> bool {
        self.is_in_place
    }

    /// Returns whether more could not be read than the snapshot lists: then its silence about a
    /// name means nothing at all.
    pub fn is_list_truncated(&self) -> bool {
        self.is_list_truncated
    }

    /// Returns whether the snapshot lists anything as not read.
    pub fn lists_any(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Returns whether the snapshot lists exactly this path as not read, or not wholly.
    pub fn is_listed(&self, path: &[u8]) -> bool {
        self.unread.contains(path)
    }

    /// Returns whether the snapshot lists this, something above or something below it as not read.
    pub fn is_unread(&self, path: &[u8]) -> bool {
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

/// Returns whether `path` is `folder` or below it; the root folder's own path is empty.
fn is_at_or_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
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
