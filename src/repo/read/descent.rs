//! Going through directories depth first, with memory for little more than one path, however deep
//! and wide they are.

use super::entries::Cursor;
use super::stack::{Holds, Stack};
use super::trees::{DirEntry, Trees};
use crate::format::limits::PATH_LEN_MAX_BYTES;
use crate::id::ChunkId;
use crate::repo::error::Result;

/// A walk that its caller steers: each entry of the deepest directory is returned once, and the
/// caller says what is entered.
///
/// A level takes about 200 bytes; what was decoded for it is given up where all levels together
/// would hold too much, and read again when the walk comes back.
pub struct Descent {
    trees: Trees,
    levels: Stack<DirLevel>,
    /// Path of the entry that was returned last.
    path: Vec<u8>,
}

struct DirLevel {
    cursor: Cursor,
    /// Bytes of the directory's own path.
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
    /// Stands before the first entry of a directory, whose path is what all paths begin with.
    pub fn new(trees: &Trees, dir: &ChunkId, path: &[u8]) -> Self {
        let mut descent = Self { trees: trees.clone(), levels: Stack::new(), path: path.to_vec() };
        descent.enter(dir);
        descent
    }

    /// Returns the next entry like the iterator, leaving out the nodes that `is_wanted` refuses,
    /// unread.
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

    /// Goes into the directory that was returned last; its entries come next.
    ///
    /// A path that is too long is no error here: the directory's only item is one.
    pub fn enter(&mut self, tree: &ChunkId) {
        let is_too_long = self.path.len() > PATH_LEN_MAX_BYTES;
        let cursor = if is_too_long {
            Cursor::refused("a path is longer than allowed")
        } else {
            Cursor::new(tree)
        };
        self.levels.push(DirLevel { cursor, path_len: self.path.len() });
    }

    /// Goes back to the directory above, to the entry behind.
    pub fn leave(&mut self) {
        self.levels.pop();
    }

    /// Returns whether there is no directory any more.
    pub fn is_finished(&self) -> bool {
        self.levels.is_empty()
    }

    /// Returns how many directories it is in.
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Returns the path of the entry that was returned last; behind the end of a directory, or an
    /// error, that directory's own.
    pub fn path(&self) -> &[u8] {
        &self.path
    }
}

/// The entries of the deepest directory: `None` at its end, and if there is no directory any more.
/// An error ends the directory.
impl Iterator for Descent {
    type Item = Result<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_where(&mut |_| true)
    }
}
