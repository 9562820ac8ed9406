//! Sizes of directories, from the totals in their nodes.

use super::changes::tree_of;
use super::resolve::ResolvedPath;
use crate::format::entry::EntryKind;
use crate::format::node::Totals;
use crate::repo::{Descent, Error, Trees};

/// Size of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskUsage {
    /// Absolute path.
    pub path: Vec<u8>,
    /// Kind of entry.
    pub kind: EntryKind,
    /// Totals of everything below a directory; else of the entry.
    pub totals: Totals,
}

/// Yields the entries below a path with their sizes, down to a depth, in the order of names; a
/// directory before its content.
///
/// Reads no directory below that depth: the totals are in the nodes above. For an unreadable
/// directory its path and the error are yielded, and the walk continues after it.
pub struct DiskUsages {
    depth: usize,
    descent: Option<Descent>,
}

impl DiskUsages {
    /// Begins at a path; yields `depth` levels of directories below it.
    pub fn new(trees: &Trees, place: &ResolvedPath, depth: usize) -> Self {
        let tree = place.tree.filter(|_| depth > 0);
        Self { depth, descent: tree.map(|tree| Descent::new(trees, &tree, &place.path)) }
    }
}

impl Iterator for DiskUsages {
    type Item = Result<DiskUsage, (Vec<u8>, Error)>;

    fn next(&mut self) -> Option<Self::Item> {
        let descent = self.descent.as_mut()?;
        loop {
            match descent.next() {
                None if descent.is_finished() => return None,
                None => descent.leave(),
                Some(Err(error)) => return Some(Err((descent.path().to_vec(), error))),
                Some(Ok(found)) => {
                    if let Some(tree) = tree_of(&found)
                        && descent.depth() < self.depth
                    {
                        descent.enter(&tree);
                    }
                    let (path, kind) = (descent.path().to_vec(), found.entry.kind);
                    return Some(Ok(DiskUsage { path, kind, totals: found.content_totals() }));
                }
            }
        }
    }
}
