//! Chunk lists of files: a few references in the entry itself, many in a tree of list nodes.
//!
//! The id of the last reference decides whether a node ends, so a change inside a large file
//! touches one leaf and its path. Spec: `format-spec/07-trees.md`, section "Chunk lists".

use crate::format::container::ChunkKind;
use crate::format::entry::{Content, Ref};
use crate::format::limits::{INLINE_REFS_MAX, LIST_NODE_MAX, LIST_NODE_MIN, LIST_SPLIT_BELOW};
use crate::format::node::{ListChild, ListNode};
use crate::id::ChunkId;
use crate::repo::{Lane, Result};

/// Builds the content of one file, piece by piece.
#[derive(Default)]
pub struct ListBuilder {
    leaf: Vec<Ref>,
    levels: Vec<Vec<ListChild>>,
    bytes: u64,
}

impl ListBuilder {
    /// Adds the next piece; neighbouring holes become one.
    pub fn push(&mut self, lane: &mut Lane, piece: Ref) -> Result<()> {
        self.bytes += piece.len();
        if let (Some(Ref::Hole { len }), Ref::Hole { len: more }) = (self.leaf.last_mut(), piece) {
            *len += more;
            return Ok(());
        }
        // A node is cut only when the next piece comes, because a hole at its end may still grow.
        if ends_leaf(&self.leaf) {
            self.close_leaf(lane)?;
        }
        self.leaf.push(piece);
        Ok(())
    }

    /// Returns the bytes added so far.
    pub fn len_bytes(&self) -> u64 {
        self.bytes
    }

    /// Stores what is left and returns the file's content.
    pub fn finish(mut self, lane: &mut Lane) -> Result<Content> {
        if self.levels.is_empty() {
            if self.leaf.is_empty() {
                return Ok(Content::Inline(Vec::new()));
            }
            if self.leaf.len() <= INLINE_REFS_MAX {
                return Ok(Content::Refs(self.leaf));
            }
        }
        self.close_leaf(lane)?;
        let mut level = 0;
        while level + 1 < self.levels.len() || self.levels[level].len() > 1 {
            self.close_level(lane, level)?;
            level += 1;
        }
        Ok(Content::List(self.levels[level][0].id))
    }

    fn close_leaf(&mut self, lane: &mut Lane) -> Result<()> {
        let node = ListNode::Leaf { refs: std::mem::take(&mut self.leaf) };
        self.add_child(lane, 0, node)
    }

    fn close_level(&mut self, lane: &mut Lane, level: usize) -> Result<()> {
        let children = std::mem::take(&mut self.levels[level]);
        if children.is_empty() {
            // The level was just cut, so its last node is already in the level above.
            return Ok(());
        }
        self.add_child(lane, level + 1, ListNode::Inner { level: node_level(level), children })
    }

    fn add_child(&mut self, lane: &mut Lane, level: usize, node: ListNode) -> Result<()> {
        let child = ListChild {
            id: put_list(lane, &node)?,
            bytes: node.bytes().expect("pieces are never empty"),
        };
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        self.levels[level].push(child);
        if ends_inner(&self.levels[level]) {
            self.close_level(lane, level)?;
        }
        Ok(())
    }
}

fn node_level(level: usize) -> u8 {
    u8::try_from(level + 1).expect("lists have at most 8 levels")
}

fn ends_leaf(leaf: &[Ref]) -> bool {
    let hash = match leaf.last() {
        Some(Ref::Data { id, .. }) => split_hash(id),
        _ => u32::MAX,
    };
    ends_node(leaf.len(), hash)
}

fn ends_inner(children: &[ListChild]) -> bool {
    children.last().is_some_and(|last| ends_node(children.len(), split_hash(&last.id)))
}

fn ends_node(count: usize, hash: u32) -> bool {
    count >= LIST_NODE_MAX || (count >= LIST_NODE_MIN && hash < LIST_SPLIT_BELOW)
}

/// Returns the hash that decides where nodes end: ids are keyed hashes, so their first bytes serve.
fn split_hash(id: &ChunkId) -> u32 {
    u32::from_le_bytes(id.0[..4].try_into().expect("4 bytes"))
}

fn put_list(lane: &mut Lane, node: &ListNode) -> Result<ChunkId> {
    let bytes = node.encode();
    let id = lane.session().ids().chunk_id(ChunkKind::List, &bytes);
    lane.put(ChunkKind::List, &id, &bytes)?;
    Ok(id)
}
