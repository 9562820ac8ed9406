//! Sizes of directories, from the sums that their nodes contain.

use super::changes::tree_of;
use super::resolve::ResolvedPath;
use crate::format::entry::EntryKind;
use crate::format::node::Totals;
use crate::repo::{Descent, Error, Trees};

/// What an entry takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskUsage {
    /// Absolute path.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Of a directory, everything below it; else itself.
    pub totals: Totals,
}

/// Yields what is below a place with its sums, down to a depth, in the order of names; a directory
/// before what is in it.
///
/// Reads the directories above the deepest that are told and nothing below: their sums are in the
/// nodes. Where a directory cannot be read its path and the error are yielded, and the rest goes on
/// behind it.
pub struct DiskUsages {
    depth: usize,
    descent: Option<Descent>,
}

impl DiskUsages {
    /// Begins at a place, with `depth` levels of directories below it.
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
                None if descent.is_over() => return None,
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
