//! Entries of a directory, with one leaf in memory at a time.
//!
//! Spec: `format-spec/07-trees.md`, sections 1 and 2.

use super::node_ref::Promised;
use super::trees::{DirEntry, Trees, leaf_entries};
use crate::format::codec::DecodeError;
use crate::format::node::TreeNode;
use crate::id::ChunkId;
use crate::repo::error::{Error, Result};

/// Position in one directory.
///
/// It can drop its decoded nodes and continue later: it keeps their ids, and the position in each.
pub struct Cursor {
    /// Nodes from the directory's top node to the one that is being read.
    path: Vec<PathNode>,
    /// The reason, if the directory must not be read at all.
    refused: Option<&'static str>,
}

/// One node on the path.
struct PathNode {
    promised: Promised,
    /// Number of its entries or children that were taken.
    taken: usize,
    node: NodeState,
    held_bytes: usize,
}

enum NodeState {
    Unread,
    Inner(std::vec::IntoIter<Promised>),
    Leaf(std::vec::IntoIter<DirEntry>),
    Finished,
}

impl Cursor {
    /// Starts before the first entry of a directory.
    pub fn new(dir: &ChunkId) -> Self {
        Self { path: vec![PathNode::new(Promised::top(*dir))], refused: None }
    }

    /// Makes the cursor of a directory that must not be read: an error with this reason is its only
    /// item.
    pub fn refused(why: &'static str) -> Self {
        Self { path: Vec::new(), refused: Some(why) }
    }

    /// Returns the next entry, skipping the nodes that `is_wanted` refuses, without reading them.
    ///
    /// An error ends the directory, because the entries after a damaged node may be incomplete.
    pub fn next(
        &mut self,
        trees: &Trees,
        is_wanted: &mut dyn FnMut(&ChunkId) -> bool,
    ) -> Option<Result<DirEntry>> {
        let step = self.step(trees, is_wanted);
        if matches!(step, Some(Err(_))) {
            self.end();
        }
        step
    }

    /// Skips all entries that are left.
    pub fn end(&mut self) {
        self.path.clear();
    }

    /// Returns the memory of its decoded nodes in bytes, as an estimate.
    pub fn held_bytes(&self) -> usize {
        self.path.iter().map(|on_path| on_path.held_bytes).sum()
    }

    /// Drops the decoded nodes.
    pub fn give_up(&mut self) {
        for on_path in
            self.path.iter_mut().filter(|on_path| !matches!(on_path.node, NodeState::Finished))
        {
            (on_path.node, on_path.held_bytes) = (NodeState::Unread, 0);
        }
    }

    fn step(
        &mut self,
        trees: &Trees,
        is_wanted: &mut dyn FnMut(&ChunkId) -> bool,
    ) -> Option<Result<DirEntry>> {
        if let Some(why) = self.refused.take() {
            return Some(Err(Error::malformed("a directory")(DecodeError::new("tree", why))));
        }
        loop {
            let on_path = self.path.last_mut()?;
            match &mut on_path.node {
                // A node that was begun is known to be wanted.
                NodeState::Unread if on_path.taken == 0 && !is_wanted(&on_path.promised.id) => {
                    drop(self.path.pop())
                }
                NodeState::Unread => match on_path.read(trees) {
                    Ok(()) => {}
                    Err(error) => return Some(Err(error)),
                },
                NodeState::Leaf(entries) => {
                    let entry = entries.next();
                    on_path.taken += 1;
                    if entries.as_slice().is_empty() {
                        (on_path.node, on_path.held_bytes) = (NodeState::Finished, 0);
                    }
                    if let Some(entry) = entry {
                        return Some(Ok(entry));
                    }
                }
                NodeState::Inner(children) => match children.next() {
                    Some(child) => {
                        on_path.taken += 1;
                        self.path.push(PathNode::new(child));
                    }
                    None => drop(self.path.pop()),
                },
                NodeState::Finished => drop(self.path.pop()),
            }
        }
    }
}

impl PathNode {
    fn new(promised: Promised) -> Self {
        Self { promised, taken: 0, node: NodeState::Unread, held_bytes: 0 }
    }

    /// Reads the node, and skips what was taken of it.
    fn read(&mut self, trees: &Trees) -> Result<()> {
        let node = trees.node(&self.promised.id)?;
        self.promised.check(&node)?;
        match node {
            TreeNode::Inner { level, children } => {
                let children = self.promised.children(level, children);
                self.held_bytes = children.iter().map(Promised::memory_bytes).sum();
                self.node = NodeState::Inner(skipped(children, self.taken));
            }
            leaf => {
                let entries = leaf_entries(leaf);
                self.held_bytes = entries.iter().map(DirEntry::memory_bytes).sum();
                self.node = NodeState::Leaf(skipped(entries, self.taken));
            }
        }
        Ok(())
    }
}

fn skipped<T>(items: Vec<T>, count: usize) -> std::vec::IntoIter<T> {
    let mut items = items.into_iter();
    items.by_ref().take(count).for_each(drop);
    items
}

impl Trees {
    /// Returns the entries of a directory in the order of their names, reading one leaf at a time.
    pub fn entries(&self, dir: &ChunkId) -> DirEntries {
        DirEntries::new(self, dir)
    }
}

/// The entries of one directory.
pub struct DirEntries {
    trees: Trees,
    cursor: Cursor,
}

impl DirEntries {
    /// Starts before the first entry of a directory.
    pub fn new(trees: &Trees, dir: &ChunkId) -> Self {
        Self { trees: trees.clone(), cursor: Cursor::new(dir) }
    }
}

impl Iterator for DirEntries {
    type Item = Result<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.cursor.next(&self.trees, &mut |_| true)
    }
}
