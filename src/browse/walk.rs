//! Walk of everything below a directory, in the order of names.

use crate::format::entry::Content;
use crate::id::ChunkId;
use crate::repo::{Descent, DirEntry, Error, Trees};

/// Yields each entry below a directory with its path; a directory before its content.
///
/// Memory is that of a [`Descent`], however many entries there are. For an unreadable directory its
/// path and the error are yielded, and the walk continues after it; the caller decides whether to
/// stop.
pub struct TreeWalk {
    recursive: bool,
    descent: Descent,
}

/// One step of a [`TreeWalk`]: a path, and its entry or why the directory of this path cannot be
/// read.
pub(super) type WalkStep = (Vec<u8>, Result<DirEntry, Error>);

impl TreeWalk {
    /// Walks the directory with this tree, whose entries' paths begin with `path`.
    pub fn new(trees: &Trees, tree: &ChunkId, path: &[u8], recursive: bool) -> Self {
        Self { recursive, descent: Descent::new(trees, tree, path) }
    }

    /// Returns the next entry, or why a directory cannot be read, without its path; `None` at the
    /// end.
    pub fn next_entry(&mut self) -> Option<Result<DirEntry, Error>> {
        loop {
            match self.descent.next() {
                None if self.descent.is_finished() => return None,
                None => self.descent.leave(),
                Some(Ok(found)) => {
                    if let (true, Content::Tree(tree)) = (self.recursive, &found.entry.content) {
                        self.descent.enter(tree);
                    }
                    return Some(Ok(found));
                }
                Some(error) => return Some(error),
            }
        }
    }
}

impl Iterator for TreeWalk {
    type Item = WalkStep;

    fn next(&mut self) -> Option<WalkStep> {
        let found = self.next_entry()?;
        Some((self.descent.path().to_vec(), found))
    }
}
