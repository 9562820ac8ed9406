//! The entries of a directory, one leaf in memory at a time. Spec: `format-spec/07-trees.md`, sections 1 and 2.

use super::error::{Error, Result};
use super::trees::{DirEntry, Trees, leaf_entries, too_deep};
use crate::format::codec::DecodeError;
use crate::format::node::{TreeChild, TreeNode};
use crate::id::ChunkId;

/// Where the reading of one directory stands.
///
/// It can give up what it has decoded and go on all the same: the nodes on its way are known by id and position.
pub struct Cursor {
    /// Nodes from the directory's top to the one that is being read.
    way: Vec<Stand>,
    /// The last name of the leaf that was read last, in directories of several leaves.
    last_name: Option<Vec<u8>>,
    /// Why it cannot be read at all.
    refused: Option<&'static str>,
}

/// One node on the way.
struct Stand {
    id: ChunkId,
    /// What the node above says of its level; `None` for the top.
    level: Option<u8>,
    /// How many of its entries or children were taken.
    taken: usize,
    node: Node,
    held_bytes: usize,
}

enum Node {
    Unread,
    Inner(u8, std::vec::IntoIter<TreeChild>),
    Leaf(std::vec::IntoIter<DirEntry>),
    Over,
}

impl Cursor {
    /// Stands before the first entry of a directory.
    pub fn new(dir: &ChunkId) -> Self {
        Self { way: vec![Stand::new(*dir, None)], last_name: None, refused: None }
    }

    /// Stands in a directory that is not read for this reason, which is its only item.
    pub fn refused(why: &'static str) -> Self {
        Self { way: Vec::new(), last_name: None, refused: Some(why) }
    }

    /// Returns the next entry, leaving out the nodes that `is_wanted` refuses, unread.
    ///
    /// What follows a damaged node cannot be trusted to be complete: an error ends the directory.
    pub fn next(&mut self, trees: &Trees, is_wanted: &mut dyn FnMut(&ChunkId) -> bool) -> Option<Result<DirEntry>> {
        let step = self.step(trees, is_wanted);
        if step.is_err() {
            self.end();
        }
        step.transpose()
    }

    /// Leaves out all that follows.
    pub fn end(&mut self) {
        self.way.clear();
    }

    /// Returns about how much memory its decoded nodes take, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.way.iter().map(|stand| stand.held_bytes).sum()
    }

    /// Gives up the decoded nodes.
    pub fn give_up(&mut self) {
        let is_leaf_over = matches!(self.way.last(), Some(Stand { node: Node::Over, .. }));
        for stand in &mut self.way {
            if !matches!(stand.node, Node::Over) {
                (stand.node, stand.held_bytes) = (Node::Unread, 0);
            }
        }
        if !is_leaf_over {
            // It comes back with its leaf.
            self.last_name = None;
        }
    }

    fn step(&mut self, trees: &Trees, is_wanted: &mut dyn FnMut(&ChunkId) -> bool) -> Result<Option<DirEntry>> {
        if let Some(why) = self.refused.take() {
            return Err(Error::malformed("a directory")(DecodeError::new("tree", why)));
        }
        loop {
            let Some(stand) = self.way.last_mut() else {
                return Ok(None);
            };
            match &mut stand.node {
                Node::Leaf(entries) => {
                    let entry = entries.next();
                    stand.taken += 1;
                    if entries.as_slice().is_empty() {
                        (stand.node, stand.held_bytes) = (Node::Over, 0);
                    }
                    if entry.is_some() {
                        return Ok(entry);
                    }
                }
                Node::Inner(level, children) => match children.next() {
                    Some(child) => {
                        let level = *level - 1;
                        stand.taken += 1;
                        if is_wanted(&child.id) {
                            self.way.push(Stand::new(child.id, Some(level)));
                            self.read(trees, Some(&child.first_name))?;
                        }
                    }
                    None => drop(self.way.pop()),
                },
                Node::Over => drop(self.way.pop()),
                Node::Unread if stand.level.is_none() && stand.taken == 0 && !is_wanted(&stand.id) => self.end(),
                Node::Unread => self.read(trees, None)?,
            }
        }
    }

    /// Reads the node that it stands at, and goes to where it stood in it. `first_name` is what the node above says of it.
    fn read(&mut self, trees: &Trees, first_name: Option<&Vec<u8>>) -> Result<()> {
        let has_several_leaves = self.way.len() > 1;
        let Some(stand) = self.way.last_mut() else {
            return Ok(());
        };
        let refuse = |why| Err(Error::malformed(format!("chunk {}", stand.id.short()))(DecodeError::new("tree", why)));
        let is_named = |name: Option<&Vec<u8>>| first_name.is_none() || name == first_name;
        match trees.node(&stand.id)? {
            TreeNode::Inner { level, children } => {
                if stand.level.is_some_and(|promised| promised != level) {
                    return Err(too_deep(&stand.id));
                }
                if !is_named(children.first().map(|child| &child.first_name)) {
                    return refuse("the first name is not what the node above says");
                }
                let len = |child: &TreeChild| size_of::<TreeChild>() + child.first_name.len();
                stand.held_bytes = children.iter().map(len).sum();
                let mut children = children.into_iter();
                children.by_ref().take(stand.taken).for_each(drop);
                stand.node = Node::Inner(level, children);
            }
            leaf => {
                if stand.level.is_some_and(|promised| promised != 0) {
                    return Err(too_deep(&stand.id));
                }
                let entries = leaf_entries(leaf);
                if !is_named(entries.first().map(|found| &found.entry.name)) {
                    return refuse("the first name is not what the node above says");
                }
                if has_several_leaves {
                    // Names must ascend across leaves too: a forged tree must not hold one name twice.
                    let (first, last) = (entries.first(), entries.last());
                    if let (Some(before), Some(first), 0) = (&self.last_name, first, stand.taken)
                        && first.entry.name <= *before
                    {
                        return refuse("names are not sorted");
                    }
                    self.last_name = last.map(|last| last.entry.name.clone());
                }
                stand.held_bytes = entries.iter().map(DirEntry::memory_bytes).sum();
                let mut entries = entries.into_iter();
                entries.by_ref().take(stand.taken).for_each(drop);
                stand.node = Node::Leaf(entries);
            }
        }
        Ok(())
    }
}

impl Stand {
    fn new(id: ChunkId, level: Option<u8>) -> Self {
        Self { id, level, taken: 0, node: Node::Unread, held_bytes: 0 }
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
