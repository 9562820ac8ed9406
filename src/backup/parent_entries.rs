//! Merge of a directory's names with the parent's entries.

use std::iter::Peekable;

use super::context::ParentTrees;
use crate::id::ChunkId;
use crate::repo::DirEntry;
use crate::repo::read::entries::DirEntries;

/// The parent's entries of one directory, in the order of names.
pub(super) struct ParentEntries(Option<Box<Peekable<DirEntries>>>);

impl ParentEntries {
    /// Starts at the first entry of the parent's `tree`; without one there are no entries.
    pub(super) fn new(parent: Option<&ParentTrees>, tree: Option<ChunkId>) -> Self {
        let entries = parent.zip(tree).map(|(parent, tree)| parent.trees.entries(&tree));
        Self(entries.map(|entries| Box::new(entries.peekable())))
    }

    /// Returns an iteration without entries.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Returns the parent's entry of `name`, and whether the parent has names between the last one
    /// and this one: they were deleted.
    ///
    /// If the rest of the parent's tree cannot be read, it counts as empty: files are read again.
    pub(super) fn take(&mut self, name: &[u8]) -> (Option<DirEntry>, bool) {
        let mut deleted_before = false;
        let Some(entries) = &mut self.0 else {
            return (None, false);
        };
        loop {
            match entries.peek() {
                Some(Ok(before)) if before.entry.name.as_slice() < name => {
                    entries.next();
                    deleted_before = true;
                }
                Some(Ok(before)) if before.entry.name == name => {
                    return (entries.next().and_then(|entry| entry.ok()), deleted_before);
                }
                Some(Err(_)) => {
                    self.0 = None;
                    return (None, true);
                }
                _ => return (None, deleted_before),
            }
        }
    }

    /// Returns whether the parent has names after the last one that was taken.
    pub(super) fn has_more(&mut self) -> bool {
        self.0.as_mut().is_some_and(|entries| entries.peek().is_some())
    }
}
