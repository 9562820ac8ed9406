//! Cache of decoded nodes of directories and chunk lists, within a limit of memory.

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use super::node_ref::Promised;
use crate::format::codec::DecodeError;
use crate::format::entry::{Entry, Ref};
use crate::format::node::{ListNode, TreeChild, TreeNode};
use crate::id::ChunkId;
use crate::repo::lru::ByteLru;
use crate::repo::{Error, Result, Trees};
use crate::sync::lock;

/// Reads nodes, and keeps those that were used last.
pub struct Nodes {
    trees: Trees,
    cached: Mutex<ByteLru<ChunkId, CachedNode>>,
}

#[derive(Clone)]
enum CachedNode {
    Tree(Arc<TreeNode>),
    List(Arc<ListNode>),
}

/// An entry in its leaf; the value keeps the leaf in memory.
#[derive(Clone)]
pub struct CachedEntry {
    leaf: Arc<TreeNode>,
    at: usize,
}

impl CachedEntry {
    /// Returns the entry at a position, or `None` if the node is no leaf or has no such entry.
    pub fn new(leaf: &Arc<TreeNode>, at: usize) -> Option<Self> {
        let found = Self { leaf: leaf.clone(), at };
        found.entry().is_some().then_some(found)
    }

    /// Returns the address of its leaf, which is unique while the leaf is in memory, and its
    /// position in the leaf.
    pub fn place(&self) -> (usize, usize) {
        (Arc::as_ptr(&self.leaf).addr(), self.at)
    }

    /// Returns the entries of its leaf.
    pub fn neighbours(&self) -> &[Entry] {
        match &*self.leaf {
            TreeNode::Leaf { entries, .. } => entries,
            TreeNode::Inner { .. } => &[],
        }
    }

    fn entry(&self) -> Option<&Entry> {
        match &*self.leaf {
            TreeNode::Leaf { entries, .. } => entries.get(self.at),
            TreeNode::Inner { .. } => None,
        }
    }
}

impl Deref for CachedEntry {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        self.entry().expect("looked at when it was made")
    }
}

impl Nodes {
    /// Keeps at most `limit_bytes` of nodes in memory, by an estimate that is rather too high.
    pub fn new(trees: Trees, limit_bytes: usize) -> Self {
        Self { trees, cached: Mutex::new(ByteLru::new(limit_bytes)) }
    }

    /// Returns the trees from which nodes are read.
    pub fn trees(&self) -> &Trees {
        &self.trees
    }

    /// Returns one node of a directory.
    pub fn tree(&self, id: &ChunkId) -> Result<Arc<TreeNode>> {
        if let Some(CachedNode::Tree(node)) = self.cached(id) {
            return Ok(node);
        }
        let node = Arc::new(self.trees.node(id)?);
        self.insert(*id, CachedNode::Tree(node.clone()), tree_len_bytes(&node));
        Ok(node)
    }

    /// Returns one node of a chunk list.
    pub fn list(&self, id: &ChunkId) -> Result<Arc<ListNode>> {
        if let Some(CachedNode::List(node)) = self.cached(id) {
            return Ok(node);
        }
        let node = Arc::new(self.trees.list_node(id)?);
        self.insert(*id, CachedNode::List(node.clone()), list_len_bytes(&node));
        Ok(node)
    }

    /// Returns the entry `name` of a directory, reading one path of nodes.
    pub fn find(&self, dir: &ChunkId, name: &[u8]) -> Result<Option<CachedEntry>> {
        let mut promised = Promised::top(*dir);
        // Each level is one less than the one above, so this ends.
        loop {
            let node = self.tree(&promised.id)?;
            promised.check(&node)?;
            match &*node {
                TreeNode::Inner { level, children } => match promised.child(*level, children, name)
                {
                    Some(child) => promised = child,
                    None => return Ok(None),
                },
                TreeNode::Leaf { entries, .. } => {
                    let at = entries.binary_search_by(|entry| entry.name.as_slice().cmp(name));
                    return Ok(at.ok().and_then(|at| CachedEntry::new(&node, at)));
                }
            }
        }
    }

    /// Returns the ids of a directory's leaves in order, reading its inner nodes only.
    ///
    /// The first names that nodes state must be right and ascend: then no node is in the list
    /// twice, and the list ends.
    pub fn leaves(&self, dir: &ChunkId) -> Result<Vec<ChunkId>> {
        let (mut leaves, mut last) = (Vec::new(), None);
        // Each node has the level and the first name that the node above states.
        let mut pending: Vec<(ChunkId, Option<StatedNode>)> = vec![(*dir, None)];
        while let Some((id, stated)) = pending.pop() {
            if let Some((0, first)) = stated {
                if last.is_some_and(|last| last >= first) {
                    return Err(wrong_levels(&id));
                }
                last = Some(first);
                leaves.push(id);
                continue;
            }
            let is_stated = |level: u8, children: &[TreeChild]| {
                let first = children.first().map(|child| &child.first_name);
                stated.as_ref().is_none_or(|(stated, name)| *stated == level && Some(name) == first)
            };
            match &*self.tree(&id)? {
                TreeNode::Inner { level, children } if is_stated(*level, children) => {
                    let below =
                        |child: &TreeChild| (child.id, Some((level - 1, child.first_name.clone())));
                    pending.extend(children.iter().rev().map(below));
                }
                TreeNode::Leaf { .. } if stated.is_none() => leaves.push(id),
                _ => return Err(wrong_levels(&id)),
            }
        }
        Ok(leaves)
    }

    fn cached(&self, id: &ChunkId) -> Option<CachedNode> {
        lock(&self.cached).get(id)
    }

    fn insert(&self, id: ChunkId, node: CachedNode, len_bytes: usize) {
        lock(&self.cached).insert(id, node, len_bytes);
    }
}

/// Level and first name of a node, as the node above states them.
type StatedNode = (u8, Vec<u8>);

/// Returns the error of a node that does not match what the node above states.
pub fn wrong_levels(id: &ChunkId) -> Error {
    let source = DecodeError::new("tree", "levels out of order, or sums that do not fit");
    Error::Malformed { object: format!("chunk {}", id.short()), source }
}

/// Memory that the map takes for each node in addition to the node, as an estimate.
const OVERHEAD_LEN_BYTES: usize = 200;

fn tree_len_bytes(node: &TreeNode) -> usize {
    let len = match node {
        TreeNode::Leaf { strings, entries, dir_totals } => {
            let entries =
                entries.iter().map(|entry| size_of::<Entry>() + entry.parts_memory_bytes());
            entries.sum::<usize>()
                + strings.iter().map(|text| text.len() + 40).sum::<usize>()
                + size_of_val(&dir_totals[..])
        }
        TreeNode::Inner { children, .. } => {
            children.iter().map(|child| size_of::<TreeChild>() + 16 + child.first_name.len()).sum()
        }
    };
    len + OVERHEAD_LEN_BYTES
}

fn list_len_bytes(node: &ListNode) -> usize {
    let len = match node {
        ListNode::Leaf { refs } => refs.len() * size_of::<Ref>(),
        ListNode::Inner { children, .. } => size_of_val(&children[..]),
    };
    len + OVERHEAD_LEN_BYTES
}
