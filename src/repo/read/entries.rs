//! The entries of a directory, one leaf in memory at a time. Spec: `format-spec/07-trees.md`,
//! sections 1 and 2.

use super::node_ref::Promised;
use super::trees::{DirEntry, Trees, leaf_entries};
use crate::format::codec::DecodeError;
use crate::format::node::TreeNode;
use crate::id::ChunkId;
use crate::repo::error::{Error, Result};

/// Where the reading of one directory stands.
///
/// It can give up what it has decoded and go on all the same: the nodes on its path are known by id
/// and position.
pub struct Cursor {
    /// Nodes from the directory's top to the one that is being read.
    path: Vec<PathNode>,
    /// Why it cannot be read at all.
    refused: Option<&'static str>,
}

/// One node on the path.
struct PathNode {
    promised: Promised,
    /// How many of its entries or children were taken.
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
    /// Stands before the first entry of a directory.
    pub fn new(dir: &ChunkId) -> Self {
        Self { path: vec![PathNode::new(Promised::top(*dir))], refused: None }
    }

    /// Stands in a directory that is not read for this reason, which is its only item.
    pub fn refused(why: &'static str) -> Self {
        Self { path: Vec::new(), refused: Some(why) }
    }

    /// Returns the next entry, leaving out the nodes that `is_wanted` refuses, unread.
    ///
    /// What follows a damaged node cannot be trusted to be complete: an error ends the directory.
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

    /// Leaves out all that follows.
    pub fn end(&mut self) {
        self.path.clear();
    }

    /// Returns about how much memory its decoded nodes take, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.path.iter().map(|stand| stand.held_bytes).sum()
    }

    /// Gives up the decoded nodes.
    pub fn give_up(&mut self) {
        for stand in self.path.iter_mut().filter(|stand| !matches!(stand.node, NodeState::Finished))
        {
            (stand.node, stand.held_bytes) = (NodeState::Unread, 0);
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
            let stand = self.path.last_mut()?;
            match &mut stand.node {
                // What is not wanted is not read; of what was begun that is known already.
                NodeState::Unread if stand.taken == 0 && !is_wanted(&stand.promised.id) => {
                    drop(self.path.pop())
                }
                NodeState::Unread => match stand.read(trees) {
                    Ok(()) => {}
                    Err(error) => return Some(Err(error)),
                },
                NodeState::Leaf(entries) => {
                    let entry = entries.next();
                    stand.taken += 1;
                    if entries.as_slice().is_empty() {
                        (stand.node, stand.held_bytes) = (NodeState::Finished, 0);
                    }
                    if let Some(entry) = entry {
                        return Some(Ok(entry));
                    }
                }
                NodeState::Inner(children) => match children.next() {
                    Some(child) => {
                        stand.taken += 1;
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

    /// Reads the node, and goes to where it stood in it.
    fn read(&mut self, trees: &Trees) -> Result<()> {
        let node = trees.node(&self.promised.id)?;
        self.promised.check(&node)?;
        match node {
            TreeNode::Inner { level, children } => {
                let below = self.promised.below(level, children);
                self.held_bytes = below.iter().map(Promised::memory_bytes).sum();
                self.node = NodeState::Inner(skipped(below, self.taken));
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
    /// Stands before the first entry of a directory.
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
