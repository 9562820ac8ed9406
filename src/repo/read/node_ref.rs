//! Reference to a directory node that is not read yet, with what the node above states about it.
//!
//! Spec: `format-spec/07-trees.md`, section 1.

use crate::format::node::{TreeChild, TreeNode};
use crate::format::promise::TreePromise;
use crate::id::ChunkId;
use crate::repo::error::{Error, Result};

/// A node that is known only by a reference to it.
pub struct Promised {
    /// The node's id.
    pub id: ChunkId,
    /// Its level; `None` for a directory's top node, about which nothing is stated.
    level: Option<u8>,
    first_name: Option<Vec<u8>>,
    /// The first name of the next node; all names in this one are less.
    before: Option<Vec<u8>>,
}

impl Promised {
    /// Refers to a directory's top node.
    pub fn top(id: ChunkId) -> Self {
        Self { id, level: None, first_name: None, before: None }
    }

    /// Returns its level; `None` for a directory's top node.
    pub fn level(&self) -> Option<u8> {
        self.level
    }

    /// Returns its first name; empty for a top node, whose first name is unknown.
    pub fn first_name(&self) -> &[u8] {
        self.first_name.as_deref().unwrap_or_default()
    }

    /// Returns the memory that it takes in bytes, as an estimate.
    pub fn memory_bytes(&self) -> usize {
        let names = [&self.first_name, &self.before].into_iter().flatten();
        size_of::<Self>() + names.map(|name| 16 + name.len()).sum::<usize>()
    }

    /// Fails if the node is not what the node above states: readers that trust the statement would
    /// miss names in it.
    pub fn check(&self, node: &TreeNode) -> Result<()> {
        let said = TreePromise {
            level: self.level,
            first_name: self.first_name.as_deref(),
            before: self.before.as_deref(),
        };
        said.check(node).map_err(Error::malformed(format!("chunk {}", self.id.short())))
    }

    /// Returns the child that would hold `name`, if there is one; `level` and `children` are those
    /// of this node.
    pub fn child(&self, level: u8, children: &[TreeChild], name: &[u8]) -> Option<Self> {
        let at = children.partition_point(|child| child.first_name.as_slice() <= name);
        let child = &children[at.checked_sub(1)?];
        let before =
            children.get(at).map(|next| next.first_name.clone()).or_else(|| self.before.clone());
        Some(Self {
            id: child.id,
            level: level.checked_sub(1),
            first_name: Some(child.first_name.clone()),
            before,
        })
    }

    /// Returns the children in order; `level` and `children` are those of this node.
    pub fn children(&self, level: u8, children: Vec<TreeChild>) -> Vec<Self> {
        let mut before = self.before.clone();
        let mut below: Vec<Self> = Vec::with_capacity(children.len());
        for TreeChild { id, first_name, .. } in children.into_iter().rev() {
            let next = before.replace(first_name.clone());
            below.push(Self {
                id,
                level: level.checked_sub(1),
                first_name: Some(first_name),
                before: next,
            });
        }
        below.reverse();
        below
    }
}
