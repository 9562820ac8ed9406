//! Map from offsets in a file to its pieces.

use std::sync::Arc;

use super::node_cache::{CachedEntry, Nodes, wrong_levels};
use crate::format::entry::{Content, Ref};
use crate::format::limits;
use crate::format::node::ListNode;
use crate::id::ChunkId;
use crate::repo::{Error, Result};

/// The content of one file.
#[derive(Clone)]
pub struct FileMap {
    found: CachedEntry,
}

/// A piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSpan {
    /// Offset in the file, in bytes.
    pub start: u64,
    /// The chunk or hole.
    pub piece: Ref,
}

impl FileSpan {
    /// Returns the offset of its end in the file, in bytes.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.piece.len())
    }
}

/// References of one entry or of one list leaf.
#[derive(Clone)]
enum Leaf {
    Entry(CachedEntry),
    List(Arc<ListNode>),
}

impl Leaf {
    fn refs(&self) -> &[Ref] {
        match self {
            Self::Entry(found) => match &found.content {
                Content::Refs(refs) => refs,
                _ => &[],
            },
            Self::List(node) => match &**node {
                ListNode::Leaf { refs } => refs,
                ListNode::Inner { .. } => &[],
            },
        }
    }
}

impl FileMap {
    /// Makes the map of a file's entry.
    pub fn new(found: CachedEntry) -> Self {
        Self { found }
    }

    /// Returns the name of the file.
    pub fn name(&self) -> &[u8] {
        &self.found.name
    }

    /// Returns the size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.found.size
    }

    /// Returns the file's bytes if they are stored in its entry.
    pub fn inline(&self) -> Option<&[u8]> {
        match &self.found.content {
            Content::Inline(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Returns the pieces from the one that holds the byte at `offset`; reads one path of nodes,
    /// and then leaf after leaf.
    ///
    /// There are none for inline content, and none after the file's end.
    pub fn spans<'a>(&'a self, nodes: &'a Nodes, offset: u64) -> Spans<'a> {
        Spans { map: self, nodes, leaf: None, at: 0, next: offset }
    }

    /// Returns the leaf that holds the byte at `offset`, and the leaf's offset in the file.
    fn leaf(&self, nodes: &Nodes, offset: u64) -> Result<(Leaf, u64)> {
        let Content::List(top) = self.found.content else {
            return Ok((Leaf::Entry(self.found.clone()), 0));
        };
        let (mut id, mut start, mut len, mut level) = (top, 0, self.found.size, None);
        for _ in 0..=limits::TREE_LEVELS_MAX {
            let node = nodes.list(&id)?;
            if node.bytes() != Some(len) {
                return Err(wrong_levels(&id));
            }
            match &*node {
                ListNode::Leaf { .. } if level.is_none_or(|level| level == 0) => {
                    return Ok((Leaf::List(node), start));
                }
                ListNode::Inner { level: found, children }
                    if level.is_none_or(|level| level == *found) =>
                {
                    let mut below = None;
                    for child in children {
                        if offset < start + child.bytes {
                            below = Some(*child);
                            break;
                        }
                        start += child.bytes;
                    }
                    let child = below.ok_or_else(|| wrong_levels(&id))?;
                    (id, len, level) = (child.id, child.bytes, Some(found - 1));
                }
                _ => return Err(wrong_levels(&id)),
            }
        }
        Err(wrong_levels(&top))
    }

    /// Returns the number of the file's bytes that are not in holes; `None` if that takes reading
    /// more than `nodes_max` nodes.
    pub fn data_len(&self, nodes: &Nodes, nodes_max: usize) -> Result<Option<u64>> {
        let data = |refs: &[Ref]| -> u64 {
            refs.iter()
                .map(|piece| if matches!(piece, Ref::Data { .. }) { piece.len() } else { 0 })
                .sum()
        };
        let top = match &self.found.content {
            Content::Refs(refs) => return Ok(Some(data(refs))),
            Content::List(top) => *top,
            _ => return Ok(Some(self.found.size)),
        };
        let (mut sum, mut pending, mut read): (u64, Vec<ChunkId>, usize) = (0, vec![top], 0);
        while let Some(id) = pending.pop() {
            read += 1;
            if read + pending.len() > nodes_max {
                return Ok(None);
            }
            match &*nodes.list(&id)? {
                ListNode::Leaf { refs } => sum = sum.saturating_add(data(refs)),
                ListNode::Inner { children, .. } => {
                    pending.extend(children.iter().map(|child| child.id))
                }
            }
        }
        Ok(Some(sum))
    }
}

/// The pieces of a file, in order.
pub struct Spans<'a> {
    map: &'a FileMap,
    nodes: &'a Nodes,
    leaf: Option<Leaf>,
    /// Index of the next piece in the leaf.
    at: usize,
    /// Offset of the next piece in the file; for the first one, of any byte in it.
    next: u64,
}

impl Spans<'_> {
    fn step(&mut self) -> Result<Option<FileSpan>> {
        if self.map.inline().is_some() {
            return Ok(None);
        }
        loop {
            if let Some(leaf) = &self.leaf
                && let Some(piece) = leaf.refs().get(self.at)
            {
                let span = FileSpan { start: self.next, piece: *piece };
                self.at += 1;
                self.next = span.end();
                return Ok(Some(span));
            }
            if self.next >= self.map.size() {
                return Ok(None);
            }
            let (leaf, start) = self.map.leaf(self.nodes, self.next)?;
            let mut begins = start;
            let at = leaf.refs().iter().position(|piece| {
                let holds = self.next < begins + piece.len();
                begins += if holds { 0 } else { piece.len() };
                holds
            });
            self.at =
                at.ok_or_else(|| Error::WrongContent { object: "a chunk list".to_owned() })?;
            self.next = begins;
            self.leaf = Some(leaf);
        }
    }
}

impl Iterator for Spans<'_> {
    type Item = Result<FileSpan>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            // Without this a caller that goes on after errors would never end.
            self.next = u64::MAX;
            self.leaf = None;
        }
        step.transpose()
    }
}
