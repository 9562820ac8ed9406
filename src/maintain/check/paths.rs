//! Search for the paths that damage affects, in every snapshot.
//!
//! Memory is bounded by the depth of the trees (see [`Stack`]), the listed paths, and one bit per
//! index record. A subtree that was clean in one snapshot is not searched again in the next.

use std::collections::HashSet;

use super::damage::Damage;
use super::report::{AffectedPath, CheckReport};
use crate::format::entry::{Content, Ref};
use crate::format::node::{ListNode, TreeNode};
use crate::format::snapshot::Snapshot;
use crate::id::{ChunkId, SnapshotId};
use crate::monitor::Monitor;
use crate::repo::read::reachable::MarkBits;
use crate::repo::read::stack::{Holds, Stack};
use crate::repo::{Error, Result, Trees};

/// Lists every file and directory of these snapshots that is no longer complete.
pub(super) fn name_affected(
    trees: &Trees,
    snapshots: &[Snapshot],
    damage: &Damage,
    report: &mut CheckReport,
    monitor: &Monitor,
) -> Result<()> {
    let clean = MarkBits::new(trees.reader().index().record_count());
    for snapshot in snapshots {
        let mut naming = Naming {
            trees,
            damage,
            clean: &clean,
            report,
            snapshot: snapshot.id,
            open: Stack::new(),
            path: Vec::new(),
        };
        naming.enter(&snapshot.root, 0)?;
        while !naming.open.is_empty() {
            if monitor.is_cancelled() {
                return Err(Error::Cancelled);
            }
            naming.step()?;
        }
    }
    Ok(())
}

/// A child or entry of a node that is still to be searched.
enum NodeItem {
    Node(ChunkId),
    Dir(Vec<u8>, ChunkId),
    File(Vec<u8>, u64, Content),
}

/// A node whose items are being searched.
struct OpenNode {
    id: ChunkId,
    number: u64,
    /// `None` if they were dropped to save memory: then the node is read again.
    items: Option<std::vec::IntoIter<NodeItem>>,
    taken: usize,
    held_bytes: usize,
    /// Length of the directory's path in bytes.
    path_len: usize,
    is_clean: bool,
}

impl OpenNode {
    fn new(id: ChunkId, number: u64, path_len: usize) -> Self {
        Self { id, number, items: None, taken: 0, held_bytes: 0, path_len, is_clean: true }
    }

    fn fill(&mut self, node: TreeNode) {
        let items = items_of(node);
        self.held_bytes = items.iter().map(NodeItem::memory_bytes).sum();
        let mut items = items.into_iter();
        items.by_ref().take(self.taken).for_each(drop);
        self.items = Some(items);
    }

    fn next(&mut self, trees: &Trees) -> Result<Option<NodeItem>> {
        if self.items.is_none() {
            self.fill(trees.node(&self.id)?);
        }
        self.taken += 1;
        Ok(self.items.as_mut().and_then(Iterator::next))
    }
}

impl Holds for OpenNode {
    fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn give_up(&mut self) {
        (self.items, self.held_bytes) = (None, 0);
    }
}

impl NodeItem {
    fn memory_bytes(&self) -> usize {
        let parts = match self {
            Self::Node(_) => 0,
            Self::File(name, _, Content::Refs(refs)) => name.len() + size_of_val(&refs[..]),
            Self::Dir(name, _) | Self::File(name, ..) => name.len(),
        };
        size_of::<Self>() + 32 + parts
    }
}

struct Naming<'a> {
    trees: &'a Trees,
    damage: &'a Damage,
    clean: &'a MarkBits,
    report: &'a mut CheckReport,
    snapshot: SnapshotId,
    open: Stack<OpenNode>,
    path: Vec<u8>,
}

impl Naming<'_> {
    fn step(&mut self) -> Result<()> {
        let (trees, mut path_len) = (self.trees, 0);
        let item = self.open.with_last(|top| {
            path_len = top.path_len;
            top.next(trees)
        });
        self.path.truncate(path_len);
        match item.transpose()?.flatten() {
            None => {
                match self.open.pop() {
                    Some(OpenNode { number, is_clean: true, .. }) => drop(self.clean.set(number)),
                    _ => self.taint(),
                }
                Ok(())
            }
            Some(NodeItem::Node(id)) => self.enter(&id, path_len),
            Some(NodeItem::Dir(name, id)) => {
                self.push_name(&name);
                self.enter(&id, self.path.len())
            }
            Some(NodeItem::File(name, size, content)) => {
                self.push_name(&name);
                if !self.is_whole(&content, size)? {
                    self.affected(false);
                }
                Ok(())
            }
        }
    }

    fn push_name(&mut self, name: &[u8]) {
        self.path.push(b'/');
        self.path.extend_from_slice(name);
    }

    /// Opens a tree node of the directory at `self.path`, or lists the directory if the node is
    /// lost.
    fn enter(&mut self, id: &ChunkId, path_len: usize) -> Result<()> {
        let found = self.trees.reader().index().find_numbered(id)?;
        let Some(number) = found
            .filter(|found| !self.damage.is_lost(id, &found.location))
            .map(|found| found.number)
        else {
            self.affected(true);
            return Ok(());
        };
        if self.clean.is_set(number) {
            return Ok(());
        }
        match self.trees.node(id) {
            Ok(node) => {
                let mut open = OpenNode::new(*id, number, path_len);
                open.fill(node);
                self.open.push(open);
            }
            Err(error) if error.is_damage() => self.affected(true),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Returns whether all chunks of a file can be read.
    fn is_whole(&self, content: &Content, size: u64) -> Result<bool> {
        match content {
            Content::Refs(refs) => self.are_whole(refs),
            Content::List(id) if self.damage.is_misstated(id, size) => Ok(false),
            Content::List(id) => self.is_whole_list(id),
            _ => Ok(true),
        }
    }

    fn is_whole_list(&self, id: &ChunkId) -> Result<bool> {
        let mut pending = vec![*id];
        let mut seen = HashSet::from([*id]);
        let mut sound = Vec::new();
        while let Some(id) = pending.pop() {
            let found = self.trees.reader().index().find_numbered(&id)?;
            let Some(number) = found
                .filter(|found| !self.damage.is_lost(&id, &found.location))
                .map(|found| found.number)
            else {
                return Ok(false);
            };
            if self.clean.is_set(number) {
                continue;
            }
            match self.trees.list_node(&id) {
                Ok(ListNode::Inner { children, .. }) => {
                    // A hostile list may name one node any number of times.
                    pending.extend(
                        children.iter().map(|child| child.id).filter(|id| seen.insert(*id)),
                    );
                }
                Ok(ListNode::Leaf { refs }) if !self.are_whole(&refs)? => return Ok(false),
                Ok(ListNode::Leaf { .. }) => {}
                Err(error) if error.is_damage() => return Ok(false),
                Err(error) => return Err(error),
            }
            sound.push(number);
        }
        for number in sound {
            self.clean.set(number);
        }
        Ok(true)
    }

    fn are_whole(&self, refs: &[Ref]) -> Result<bool> {
        for piece in refs {
            if let Ref::Data { id, len } = piece {
                let location = self.trees.reader().locate(id)?;
                let is_lost = location.is_none_or(|location| self.damage.is_lost(id, &location));
                if is_lost || self.damage.is_misstated(id, (*len).into()) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn affected(&mut self, is_dir: bool) {
        let path = if self.path.is_empty() { b"/".to_vec() } else { self.path.clone() };
        self.report.incomplete.insert(self.snapshot);
        self.report.add_affected(AffectedPath { snapshot: self.snapshot, path, is_dir });
        self.taint();
    }

    /// Marks the current node as not clean, so that it is searched again in the next snapshot and
    /// its paths are listed there, too.
    fn taint(&mut self) {
        self.open.with_last(|top| top.is_clean = false);
    }
}

fn items_of(node: TreeNode) -> Vec<NodeItem> {
    match node {
        TreeNode::Inner { children, .. } => {
            children.into_iter().map(|child| NodeItem::Node(child.id)).collect()
        }
        TreeNode::Leaf { entries, .. } => {
            let item = |entry: crate::format::entry::Entry| match entry.content {
                Content::Tree(id) => Some(NodeItem::Dir(entry.name, id)),
                content @ (Content::Refs(_) | Content::List(_)) => {
                    Some(NodeItem::File(entry.name, entry.size, content))
                }
                Content::Inline(_) | Content::None => None,
            };
            entries.into_iter().filter_map(item).collect()
        }
    }
}
