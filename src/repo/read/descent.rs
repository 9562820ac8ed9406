//! Depth-first walk through directories, in the memory of about one path, however deep and wide
//! they are.

use super::entries::Cursor;
use super::stack::{Holds, Stack};
use super::trees::{DirEntry, Trees};
use crate::format::limits::PATH_LEN_MAX_BYTES;
use crate::id::ChunkId;
use crate::repo::error::Result;

/// Walk that its caller steers: it returns each entry of the deepest directory once, and the caller
/// decides which directories it enters.
///
/// A level takes about 200 bytes. Its decoded nodes are dropped if all levels together would hold
/// too much, and are read again when the walk returns to it.
pub struct Descent {
    trees: Trees,
    levels: Stack<DirLevel>,
    /// Path of the entry that was returned last.
    path: Vec<u8>,
}

struct DirLevel {
    cursor: Cursor,
    /// Length of the directory's path in `path`, in bytes.
    path_len: usize,
}

impl Holds for DirLevel {
    fn held_bytes(&self) -> usize {
        self.cursor.held_bytes()
    }

    fn give_up(&mut self) {
        self.cursor.give_up();
    }
}

impl Descent {
    /// Starts before the first entry of a directory. `path` is its path, with which all others
    /// begin.
    pub fn new(trees: &Trees, dir: &ChunkId, path: &[u8]) -> Self {
        let mut descent = Self { trees: trees.clone(), levels: Stack::new(), path: path.to_vec() };
        descent.enter(dir);
        descent
    }

    /// Returns the next entry like the iterator, but skips the nodes that `is_wanted` refuses,
    /// without reading them.
    pub fn next_where(
        &mut self,
        is_wanted: &mut dyn FnMut(&ChunkId) -> bool,
    ) -> Option<Result<DirEntry>> {
        let Self { trees, levels, path } = self;
        let mut found = None;
        levels.with_last(|level| {
            path.truncate(level.path_len);
            found = level.cursor.next(trees, is_wanted);
        });
        if let Some(Ok(found)) = &found {
            path.push(b'/');
            path.extend_from_slice(&found.entry.name);
        }
        found
    }

    /// Enters the directory that was returned last; its entries come next.
    ///
    /// If its path is too long, the directory's only item is an error.
    pub fn enter(&mut self, tree: &ChunkId) {
        let is_too_long = self.path.len() > PATH_LEN_MAX_BYTES;
        let cursor = if is_too_long {
            Cursor::refused("a path is longer than allowed")
        } else {
            Cursor::new(tree)
        };
        self.levels.push(DirLevel { cursor, path_len: self.path.len() });
    }

    /// Returns to the directory above, to the entry after this directory.
    pub fn leave(&mut self) {
        self.levels.pop();
    }

    /// Returns whether all directories were left.
    pub fn is_finished(&self) -> bool {
        self.levels.is_empty()
    }

    /// Returns the number of directories that were entered and not left.
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Returns the path of the entry that was returned last; after the end of a directory or an
    /// error, the path of that directory.
    pub fn path(&self) -> &[u8] {
        &self.path
    }
}

/// Yields the entries of the deepest directory; `None` at its end, and when all directories were
/// left. An error ends the directory.
impl Iterator for Descent {
    type Item = Result<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_where(&mut |_| true)
    }
}
