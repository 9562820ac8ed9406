//! The parent's entries of one folder, met in the order of names.

use std::iter::Peekable;

use super::context::ParentTrees;
use crate::id::ChunkId;
use crate::repo::DirEntry;
use crate::repo::read::entries::DirEntries;

/// The parent's entries of a folder, met name by name.
pub struct Before(Option<Box<Peekable<DirEntries>>>);

impl Before {
    /// Starts at the first entry of the parent's folder; a folder that the parent did not have is
    /// empty.
    pub fn new(parent: Option<&ParentTrees>, tree: Option<ChunkId>) -> Self {
        let entries = parent.zip(tree).map(|(parent, tree)| parent.trees.entries(&tree));
        Self(entries.map(|entries| Box::new(entries.peekable())))
    }

    /// Knows of no entries.
    pub fn nothing() -> Self {
        Self(None)
    }

    /// Returns the parent's entry of `name`, and whether names before it were passed over since the
    /// last call.
    ///
    /// A parent that cannot be read from here on counts as not having the rest: the files are read
    /// again.
    pub fn take(&mut self, name: &[u8]) -> (Option<DirEntry>, bool) {
        let mut gap = false;
        let Some(entries) = &mut self.0 else {
            return (None, false);
        };
        loop {
            match entries.peek() {
                Some(Ok(before)) if before.entry.name.as_slice() < name => {
                    entries.next();
                    gap = true;
                }
                Some(Ok(before)) if before.entry.name == name => {
                    return (entries.next().and_then(|entry| entry.ok()), gap);
                }
                Some(Err(_)) => {
                    self.0 = None;
                    return (None, true);
                }
                _ => return (None, gap),
            }
        }
    }

    /// Returns whether the parent had names behind the last one that was met.
    pub fn has_more(&mut self) -> bool {
        self.0.as_mut().is_some_and(|entries| entries.peek().is_some())
    }
}
