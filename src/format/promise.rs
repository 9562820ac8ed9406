//! Promises: what the parent of a node states about it, and the comparison with the node.
//!
//! A node is authentic by its id, so if a promise does not match, the fault is in the parent.
//!
//! Spec: `format-spec/07-trees.md`, sections 1, 5 and 6.

use super::codec::DecodeError;
use super::node::{ListNode, TreeNode};

/// What an inner node of a directory states about one of its children.
///
/// The default states nothing, for a directory's top node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TreePromise<'a> {
    /// Its level.
    pub level: Option<u8>,
    /// Its first name.
    pub first_name: Option<&'a [u8]>,
    /// The first name of the next child; all names in the node are less.
    pub before: Option<&'a [u8]>,
}

impl TreePromise<'_> {
    /// Compares a node with what is said of it.
    pub fn check(&self, node: &TreeNode) -> Result<(), DecodeError> {
        let (level, first, last) = match node {
            TreeNode::Leaf { entries, .. } => {
                (0, entries.first().map(|e| &e.name), entries.last().map(|e| &e.name))
            }
            TreeNode::Inner { level, children } => (
                *level,
                children.first().map(|c| &c.first_name),
                children.last().map(|c| &c.first_name),
            ),
        };
        let refuse = |why| Err(DecodeError::new("tree node", why));
        if self.level.is_some_and(|promised| promised != level) {
            return refuse("its level is not what the node above says");
        }
        if self.first_name.is_some() && self.first_name != first.map(Vec::as_slice) {
            return refuse("its first name is not what the node above says");
        }
        if let (Some(before), Some(last)) = (self.before, last)
            && last.as_slice() >= before
        {
            return refuse("names are not sorted");
        }
        Ok(())
    }
}

/// What the parent of a node of a chunk list states about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ListPromise {
    /// Its level; `None` for the top node.
    pub level: Option<u8>,
    /// Number of the file's bytes that it covers, if it is stated.
    pub bytes: Option<u64>,
}

impl ListPromise {
    /// Compares a node with what is said of it.
    pub fn check(&self, node: &ListNode) -> Result<(), DecodeError> {
        let level = match node {
            ListNode::Leaf { .. } => 0,
            ListNode::Inner { level, .. } => *level,
        };
        if self.level.is_some_and(|promised| promised != level)
            || self.bytes.is_some() && self.bytes != node.bytes()
        {
            return Err(DecodeError::new(
                "list node",
                "level or length is not what stands above it",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::entry::Ref;
    use crate::format::node::{ListChild, Totals, TreeChild};
    use crate::id::ChunkId;

    fn inner(level: u8, names: &[&str]) -> TreeNode {
        let child = |name: &&str| TreeChild {
            first_name: name.as_bytes().to_vec(),
            id: ChunkId([1; 32]),
            totals: Totals::default(),
        };
        TreeNode::Inner { level, children: names.iter().map(child).collect() }
    }

    #[test]
    fn only_what_is_said_is_compared_and_all_of_it() {
        let node = inner(2, &["b", "d"]);
        let right = TreePromise { level: Some(2), first_name: Some(b"b"), before: Some(b"e") };
        right.check(&node).unwrap();
        TreePromise::default().check(&node).unwrap();
        for wrong in [
            TreePromise { level: Some(1), ..right },
            TreePromise { first_name: Some(b"a"), ..right },
            TreePromise { first_name: Some(b"c"), ..right },
            TreePromise { before: Some(b"d"), ..right },
            TreePromise { before: Some(b"c"), ..right },
        ] {
            wrong.check(&node).unwrap_err();
        }
        let empty =
            TreeNode::Leaf { strings: Vec::new(), entries: Vec::new(), dir_totals: Vec::new() };
        TreePromise::default().check(&empty).unwrap();
        // A leaf without entries has no parent.
        TreePromise { level: Some(0), first_name: Some(b"a"), before: None }
            .check(&empty)
            .unwrap_err();
    }

    #[test]
    fn lists_cover_what_is_said() {
        let leaf = ListNode::Leaf { refs: vec![Ref::Hole { len: 7 }] };
        let node = ListNode::Inner {
            level: 1,
            children: vec![ListChild { id: ChunkId([1; 32]), bytes: 7 }],
        };
        for (node, level) in [(leaf, 0), (node, 1)] {
            ListPromise::default().check(&node).unwrap();
            ListPromise { level: Some(level), bytes: Some(7) }.check(&node).unwrap();
            ListPromise { level: Some(level + 1), bytes: None }.check(&node).unwrap_err();
            ListPromise { level: None, bytes: Some(8) }.check(&node).unwrap_err();
        }
    }
}
