//! Where two directories differ, without what is below a directory that stands on one side only.

use super::fields::Fields;
use super::place::Place;
use crate::format::entry::Content;
use crate::id::ChunkId;
use crate::monitor::Monitor;
use crate::repo::merge::Merge;
use crate::repo::{DirEntry, Error, Trees};

/// A path that differs; one of the entries at least is there.
pub(super) struct Difference {
    /// Behind the paths that are compared: empty, or a slash and names.
    pub path: Vec<u8>,
    /// What stands on the left.
    pub left: Option<DirEntry>,
    /// What stands on the right.
    pub right: Option<DirEntry>,
    /// In what they differ, if both are there.
    pub fields: Fields,
}

impl Difference {
    /// Returns the directory that stands on one side and is none on the other, and whether that side is the right one.
    pub fn one_sided_tree(&self) -> Option<(bool, ChunkId)> {
        match (self.left.as_ref().and_then(tree_of), self.right.as_ref().and_then(tree_of)) {
            (Some(tree), None) => Some((false, tree)),
            (None, Some(tree)) => Some((true, tree)),
            _ => None,
        }
    }
}

/// Yields what differs, depth first in the order of names; a directory before what is in it.
///
/// Directories with equal trees are not read, and of others only the nodes that differ. Holds two leaves per level of directories.
/// Where a directory cannot be read, its path and the error are yielded, and nothing more of it.
pub(super) struct Differences<'a> {
    trees: Trees,
    monitor: &'a Monitor,
    /// What is compared, until it was.
    top: Option<[Place; 2]>,
    open: Vec<(Vec<u8>, Merge)>,
}

/// A difference, or why the directory of this path cannot be compared.
pub(super) type Step = Result<Difference, (Vec<u8>, Error)>;

impl<'a> Differences<'a> {
    /// Compares two places.
    pub fn new(trees: &Trees, places: [&Place; 2], monitor: &'a Monitor) -> Self {
        Self { trees: trees.clone(), monitor, top: Some(places.map(Place::clone)), open: Vec::new() }
    }

    /// Opens two directories if they differ.
    fn enter(&mut self, path: &[u8], left: &ChunkId, right: &ChunkId) {
        if left != right {
            self.open.push((path.to_vec(), Merge::new(&self.trees, left, right)));
        }
    }

    /// Returns the difference of two entries, if there is one that must be told, and goes into two directories.
    fn compare(&mut self, path: Vec<u8>, pair: (Option<DirEntry>, Option<DirEntry>)) -> Option<Difference> {
        let (left, right) = pair;
        let mut fields = Fields::default();
        if let (Some(left), Some(right)) = (&left, &right) {
            fields = Fields::between(left, right);
            if let (Some(left), Some(right)) = (tree_of(left), tree_of(right)) {
                self.enter(&path, &left, &right);
            }
            if fields.is_empty() {
                return None;
            }
        }
        Some(Difference { path, left, right, fields })
    }

    fn first(&mut self) -> Option<Difference> {
        let [left, right] = self.top.take()?;
        match (left.tree, right.tree) {
            // One of them may be the root, which has no metadata of its own.
            (Some(left_tree), Some(right_tree)) if left.entry.is_none() || right.entry.is_none() => {
                self.enter(b"", &left_tree, &right_tree);
                None
            }
            _ => self.compare(Vec::new(), (left.entry, right.entry)),
        }
    }
}

impl Iterator for Differences<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if let Some(first) = self.first() {
            return Some(Ok(first));
        }
        loop {
            let (folder, merge) = self.open.last_mut()?;
            if self.monitor.is_cancelled() {
                self.open.clear();
                return Some(Err((Vec::new(), Error::Cancelled)));
            }
            match merge.next() {
                None => {
                    self.open.pop();
                }
                Some(Err(error)) => {
                    let path = std::mem::take(folder);
                    self.open.pop();
                    return Some(Err((path, error)));
                }
                Some(Ok(pair)) => {
                    let name = pair.0.as_ref().or(pair.1.as_ref()).map_or(&[][..], |found| &found.entry.name);
                    let path = [folder, &b"/"[..], name].concat();
                    if let Some(difference) = self.compare(path, pair) {
                        return Some(Ok(difference));
                    }
                }
            }
        }
    }
}

/// Returns the tree of a directory.
pub(super) fn tree_of(found: &DirEntry) -> Option<ChunkId> {
    match found.entry.content {
        Content::Tree(tree) => Some(tree),
        _ => None,
    }
}
