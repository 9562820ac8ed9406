//! Comparison of two directories that skips the nodes that they share.
//!
//! Spec: `format-spec/07-trees.md`, sections 1 and 2.

use std::cmp::Ordering;
use std::vec::IntoIter;

use super::node_ref::Promised;
use super::trees::{DirEntry, Trees, leaf_entries};
use crate::format::node::TreeNode;
use crate::id::ChunkId;
use crate::repo::error::Result;

/// Yields the names of two directories in their order, each with its entry on the left, on the
/// right, or on both sides.
///
/// Nodes that both directories share are skipped without being read. Where a node ends depends on
/// names alone, so the cost grows with the differences, not with the size of the directories.
/// Entries in one node with a difference are yielded even if they are equal. Holds a leaf and one
/// path of inner nodes of each side, which it can drop and read again. An error is the last item:
/// what follows is not known.
pub struct TreeDiff {
    trees: Trees,
    tops: [ChunkId; 2],
    left: Side,
    right: Side,
    is_finished: bool,
}

/// The entries of one name on the left and on the right; at least one of them is there.
pub type Pair = (Option<DirEntry>, Option<DirEntry>);

/// Position in one of the directories.
struct Side {
    /// Nodes that were not opened yet, the next one last.
    pending: Vec<Promised>,
    /// What is left of the leaf that was opened last.
    leaf: IntoIter<DirEntry>,
    held_bytes: usize,
    /// Names up to this one were yielded before the nodes were dropped.
    after: Option<Vec<u8>>,
}

/// Rank of a side's next item: of two items with the same name, the higher one is opened first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Entry,
    Level(u8),
    Top,
}

impl TreeDiff {
    /// Starts with the top nodes of two directories.
    pub fn new(trees: &Trees, left: &ChunkId, right: &ChunkId) -> Self {
        let [left_side, right_side] = [left, right].map(|top| Side::new(top, None));
        Self {
            trees: trees.clone(),
            tops: [*left, *right],
            left: left_side,
            right: right_side,
            is_finished: false,
        }
    }

    /// Returns the memory of the decoded nodes in bytes, as an estimate.
    pub fn held_bytes(&self) -> usize {
        self.left.held_bytes + self.right.held_bytes
    }

    /// Drops the decoded nodes, and will go on after `name`, which was yielded last.
    pub fn give_up(&mut self, name: &[u8]) {
        if !self.is_finished {
            let [left, right] = self.tops.map(|top| Side::new(&top, Some(name.to_vec())));
            (self.left, self.right) = (left, right);
        }
    }

    fn step(&mut self) -> Result<Option<Pair>> {
        loop {
            let (left, right) = (self.left.head(), self.right.head());
            let order = match (left, right) {
                (None, None) => return Ok(None),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((left, _)), Some((right, _))) => left.cmp(right),
            };
            let rank = |head: Option<(&[u8], Rank)>| head.map(|(_, rank)| rank);
            let by_rank = rank(left).cmp(&rank(right));
            let is_entry = |head| rank(head) == Some(Rank::Entry);
            match order {
                Ordering::Less if is_entry(left) => return Ok(Some((self.left.leaf.next(), None))),
                Ordering::Greater if is_entry(right) => {
                    return Ok(Some((None, self.right.leaf.next())));
                }
                Ordering::Equal if is_entry(left) && is_entry(right) => {
                    return Ok(Some((self.left.leaf.next(), self.right.leaf.next())));
                }
                Ordering::Equal
                    if by_rank == Ordering::Equal
                        && self.left.next_id() == self.right.next_id() =>
                {
                    self.left.pending.pop();
                    self.right.pending.pop();
                }
                Ordering::Less => self.left.open(&self.trees)?,
                Ordering::Greater => self.right.open(&self.trees)?,
                Ordering::Equal => {
                    if by_rank != Ordering::Less {
                        self.left.open(&self.trees)?;
                    }
                    if by_rank != Ordering::Greater {
                        self.right.open(&self.trees)?;
                    }
                }
            }
        }
    }
}

impl Iterator for TreeDiff {
    type Item = Result<Pair>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_finished {
            return None;
        }
        let step = self.step();
        self.is_finished = !matches!(step, Ok(Some(_)));
        if self.is_finished {
            [&mut self.left, &mut self.right].into_iter().for_each(Side::end);
        }
        step.transpose()
    }
}

impl Side {
    fn new(top: &ChunkId, after: Option<Vec<u8>>) -> Self {
        Self {
            pending: vec![Promised::top(*top)],
            leaf: Vec::new().into_iter(),
            held_bytes: 0,
            after,
        }
    }

    fn end(&mut self) {
        (self.pending, self.leaf, self.held_bytes) = (Vec::new(), Vec::new().into_iter(), 0);
    }

    /// Returns the name and the rank of the next item.
    fn head(&self) -> Option<(&[u8], Rank)> {
        if let Some(found) = self.leaf.as_slice().first() {
            return Some((&found.entry.name, Rank::Entry));
        }
        let node = self.pending.last()?;
        Some((node.first_name(), node.level().map_or(Rank::Top, Rank::Level)))
    }

    fn next_id(&self) -> Option<ChunkId> {
        self.pending.last().map(|node| node.id)
    }

    /// Opens the next node. It must match what the node above states, or a difference could be
    /// missed.
    fn open(&mut self, trees: &Trees) -> Result<()> {
        let Some(promised) = self.pending.pop() else {
            return Ok(());
        };
        let node = trees.node(&promised.id)?;
        promised.check(&node)?;
        match node {
            TreeNode::Inner { level, children } => {
                let passed = self.after.as_ref().map_or(0, |after| {
                    // A child was yielded as a whole if its next sibling begins at or before that
                    // name.
                    children.partition_point(|child| child.first_name <= *after).saturating_sub(1)
                });
                self.pending
                    .extend(promised.children(level, children).into_iter().skip(passed).rev());
                self.held_bytes = self.pending.iter().map(Promised::memory_bytes).sum();
            }
            leaf => {
                let entries = leaf_entries(leaf);
                self.held_bytes = entries.iter().map(DirEntry::memory_bytes).sum();
                self.leaf = entries.into_iter();
                if let Some(after) = &self.after {
                    while self
                        .leaf
                        .as_slice()
                        .first()
                        .is_some_and(|found| found.entry.name <= *after)
                    {
                        self.leaf.next();
                    }
                }
            }
        }
        Ok(())
    }
}
