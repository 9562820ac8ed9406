//! A node of a directory that is still to be read, and what the node above says of it. Spec:
//! `format-spec/07-trees.md`, section 1.

use crate::format::node::{TreeChild, TreeNode};
use crate::format::promise::TreePromise;
use crate::id::ChunkId;
use crate::repo::error::{Error, Result};

/// A node that is known by what refers to it.
pub struct Promised {
    /// Its id.
    pub id: ChunkId,
    /// Its level; `None` for a directory's top node, of which nothing is said.
    level: Option<u8>,
    first_name: Option<Vec<u8>>,
    /// The first name of the next node: all names are less.
    before: Option<Vec<u8>>,
}

impl Promised {
    /// Takes a directory's top node.
    pub fn top(id: ChunkId) -> Self {
        Self { id, level: None, first_name: None, before: None }
    }

    /// Returns its level; `None` for a directory's top node.
    pub fn level(&self) -> Option<u8> {
        self.level
    }

    /// Returns its first name; that of a top node is unknown, and empty.
    pub fn first_name(&self) -> &[u8] {
        self.first_name.as_deref().unwrap_or_default()
    }

    /// Returns about how much memory it takes, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let names = [&self.first_name, &self.before].into_iter().flatten();
        size_of::<Self>() + names.map(|name| 16 + name.len()).sum::<usize>()
    }

    /// Fails if the node is not what is said of it: another reader would find other names in it, or
    /// none.
    pub fn check(&self, node: &TreeNode) -> Result<()> {
        let said = TreePromise {
            level: self.level,
            first_name: self.first_name.as_deref(),
            before: self.before.as_deref(),
        };
        said.check(node).map_err(Error::malformed(format!("chunk {}", self.id.short())))
    }

    /// Returns the node below that holds `name`, if any does; `level` and `children` are those of
    /// this node.
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

    /// Returns the nodes below, in their order; `level` and `children` are those of this node.
    pub fn below(&self, level: u8, children: Vec<TreeChild>) -> Vec<Self> {
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
