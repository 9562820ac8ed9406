//! Everything below a directory, in the order of names.

use crate::format::entry::Content;
use crate::id::ChunkId;
use crate::repo::{DirEntry, Error, Trees};

/// Yields each entry below a directory with its path: a directory, then what is in it.
///
/// Holds one leaf per level of directories, however many entries there are. Where a directory cannot be read its error is
/// yielded with its path, and the walk goes on behind it: the caller decides whether to stop.
pub struct Walk {
    trees: Trees,
    recursive: bool,
    open: Vec<OpenDir>,
}

/// A directory that is being walked.
struct OpenDir {
    path: Vec<u8>,
    entries: crate::repo::trees::DirEntries,
}

/// One step of a [`Walk`]: a path, and its entry or why the directory of this path cannot be read.
pub type Step = (Vec<u8>, Result<DirEntry, Error>);

impl Walk {
    /// Walks the directory with this tree; `path` is what its entries' paths begin with.
    pub fn new(trees: &Trees, tree: &ChunkId, path: &[u8], recursive: bool) -> Self {
        let open = vec![OpenDir { path: path.to_vec(), entries: trees.entries(tree) }];
        Self { trees: trees.clone(), recursive, open }
    }
}

impl Iterator for Walk {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            let dir = self.open.last_mut()?;
            match dir.entries.next() {
                None => {
                    self.open.pop();
                }
                Some(Err(error)) => {
                    let path = dir.path.clone();
                    self.open.pop();
                    return Some((path, Err(error)));
                }
                Some(Ok(found)) => {
                    let path = [&dir.path[..], b"/", &found.entry.name].concat();
                    if let (true, Content::Tree(tree)) = (self.recursive, &found.entry.content) {
                        self.open.push(OpenDir { path: path.clone(), entries: self.trees.entries(tree) });
                    }
                    return Some((path, Ok(found)));
                }
            }
        }
    }
}
