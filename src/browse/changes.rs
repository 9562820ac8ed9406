//! Differences of two directories, without the content of directories that are on one side only.

use super::fields::EntryFields;
use super::resolve::ResolvedPath;
use crate::format::codec::DecodeError;
use crate::format::entry::Content;
use crate::format::limits::PATH_LEN_MAX_BYTES;
use crate::id::ChunkId;
use crate::monitor::Monitor;
use crate::repo::read::stack::{Holds, Stack};
use crate::repo::read::tree_diff::TreeDiff;
use crate::repo::{DirEntry, Error, Trees};

/// A path that differs; at least one of the entries exists.
pub(super) struct Difference {
    /// Relative to the compared paths: empty, or a slash and names.
    pub path: Vec<u8>,
    /// The entry on the left.
    pub left: Option<DirEntry>,
    /// The entry on the right.
    pub right: Option<DirEntry>,
    /// The fields that differ, if both exist.
    pub fields: EntryFields,
}

impl Difference {
    /// Returns whether the entry is a directory on one side only: whether that is the right side,
    /// and its tree.
    pub(super) fn one_sided_tree(&self) -> Option<(bool, ChunkId)> {
        match (self.left.as_ref().and_then(tree_of), self.right.as_ref().and_then(tree_of)) {
            (Some(tree), None) => Some((false, tree)),
            (None, Some(tree)) => Some((true, tree)),
            _ => None,
        }
    }
}

/// Yields differences, depth first in the order of names; a directory before its content.
///
/// Directories with equal trees are not read, and of others only the nodes that differ. Holds two
/// leaves per level of directories as far as there is room for them (see [`Stack`]). Where a
/// directory cannot be read, its path and the error are yielded, and nothing more of it.
pub(super) struct Differences<'a> {
    trees: Trees,
    monitor: &'a Monitor,
    /// The compared paths, until the first step.
    top: Option<[ResolvedPath; 2]>,
    open: Stack<DirPair>,
    /// The path that was compared last.
    path: Vec<u8>,
}

/// A pair of directories that is being compared.
struct DirPair {
    merge: TreeDiff,
    /// Bytes of their path.
    path_len: usize,
    /// The name that was entered last.
    entered: Vec<u8>,
}

impl Holds for DirPair {
    fn held_bytes(&self) -> usize {
        self.merge.held_bytes()
    }

    fn give_up(&mut self) {
        self.merge.give_up(&self.entered);
    }
}

/// A difference, or why the directory of this path cannot be compared.
pub(super) type DifferenceResult = Result<Difference, (Vec<u8>, Error)>;

impl<'a> Differences<'a> {
    /// Compares two paths.
    pub(super) fn new(trees: &Trees, places: [&ResolvedPath; 2], monitor: &'a Monitor) -> Self {
        let top = Some(places.map(ResolvedPath::clone));
        Self { trees: trees.clone(), monitor, top, open: Stack::new(), path: Vec::new() }
    }

    /// Opens two directories at the current path, if they differ.
    fn enter(&mut self, left: &ChunkId, right: &ChunkId) -> Result<(), Error> {
        if left == right {
            return Ok(());
        }
        if self.path.len() > PATH_LEN_MAX_BYTES {
            return Err(Error::malformed("a directory")(DecodeError::new(
                "tree",
                "a path is longer than allowed",
            )));
        }
        let path = &self.path;
        self.open.with_last(|level| level.entered = path[level.path_len + 1..].to_vec());
        let merge = TreeDiff::new(&self.trees, left, right);
        self.open.push(DirPair { merge, path_len: self.path.len(), entered: Vec::new() });
        Ok(())
    }

    /// Returns the difference of two entries at the current path, if any, and enters them if both
    /// are directories.
    fn compare(
        &mut self,
        left: Option<DirEntry>,
        right: Option<DirEntry>,
    ) -> Option<DifferenceResult> {
        let mut fields = EntryFields::default();
        if let (Some(left), Some(right)) = (&left, &right) {
            fields = EntryFields::between(left, right);
            if let (Some(left), Some(right)) = (tree_of(left), tree_of(right))
                && let Err(error) = self.enter(&left, &right)
            {
                return Some(Err((self.path.clone(), error)));
            }
            if fields.is_empty() {
                return None;
            }
        }
        Some(Ok(Difference { path: self.path.clone(), left, right, fields }))
    }

    fn first(&mut self) -> Option<DifferenceResult> {
        let [left, right] = self.top.take()?;
        match (left.tree, right.tree) {
            // One of them may be the root, which has no metadata.
            (Some(left_tree), Some(right_tree))
                if left.entry.is_none() || right.entry.is_none() =>
            {
                self.enter(&left_tree, &right_tree).err().map(|error| Err((Vec::new(), error)))
            }
            _ => self.compare(left.entry, right.entry),
        }
    }
}

impl Iterator for Differences<'_> {
    type Item = DifferenceResult;

    fn next(&mut self) -> Option<DifferenceResult> {
        if let Some(first) = self.first() {
            return Some(first);
        }
        loop {
            if self.monitor.is_cancelled() && !self.open.is_empty() {
                self.open.clear();
                return Some(Err((Vec::new(), Error::Cancelled)));
            }
            let path = &mut self.path;
            let pair = self.open.with_last(|level| {
                path.truncate(level.path_len);
                level.merge.next()
            })?;
            match pair {
                None => drop(self.open.pop()),
                Some(Err(error)) => {
                    self.open.pop();
                    return Some(Err((self.path.clone(), error)));
                }
                Some(Ok((left, right))) => {
                    let name =
                        left.as_ref().or(right.as_ref()).map_or(&[][..], |found| &found.entry.name);
                    self.path.push(b'/');
                    self.path.extend_from_slice(name);
                    if let Some(told) = self.compare(left, right) {
                        return Some(told);
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
