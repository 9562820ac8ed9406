//! How much is in a directory, from the sums that its nodes hold.

use super::changes::tree_of;
use super::place::Place;
use crate::format::entry::EntryKind;
use crate::format::node::Totals;
use crate::id::ChunkId;
use crate::repo::trees::DirEntries;
use crate::repo::{Error, Trees};

/// What an entry takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Absolute path.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Of a directory, everything below it; else itself.
    pub totals: Totals,
}

/// Yields what is below a place with its sums, down to a depth, in the order of names; a directory before what is in it.
///
/// Reads the directories above the deepest that are told and nothing below: their sums are in the nodes. Where a directory cannot
/// be read its path and the error are yielded, and the rest goes on behind it.
pub struct Usages {
    trees: Trees,
    depth: usize,
    open: Vec<(Vec<u8>, DirEntries)>,
}

impl Usages {
    /// Begins at a place, with `depth` levels of directories below it.
    pub fn new(trees: &Trees, place: &Place, depth: usize) -> Self {
        let mut usages = Self { trees: trees.clone(), depth, open: Vec::new() };
        if let Some(tree) = &place.tree {
            usages.enter(place.path.clone(), tree);
        }
        usages
    }

    fn enter(&mut self, path: Vec<u8>, tree: &ChunkId) {
        if self.open.len() < self.depth {
            self.open.push((path, self.trees.entries(tree)));
        }
    }
}

impl Iterator for Usages {
    type Item = Result<Usage, (Vec<u8>, Error)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (folder, entries) = self.open.last_mut()?;
            match entries.next() {
                None => {
                    self.open.pop();
                }
                Some(Err(error)) => {
                    let path = std::mem::take(folder);
                    self.open.pop();
                    return Some(Err((path, error)));
                }
                Some(Ok(found)) => {
                    let path = [folder, &b"/"[..], &found.entry.name].concat();
                    if let Some(tree) = tree_of(&found) {
                        self.enter(path.clone(), &tree);
                    }
                    return Some(Ok(Usage { path, kind: found.entry.kind, totals: found.content_totals() }));
                }
            }
        }
    }
}
