//! Reader of directories and chunk lists, node by node.
//!
//! Spec: `format-spec/07-trees.md`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::node_ref::Promised;
use super::reader::Reader;
use crate::format::container::ChunkKind;
use crate::format::entry::{Content, Entry, EntryKind, Ref};
use crate::format::node::{ListNode, Totals, TreeNode};
use crate::format::promise::ListPromise;
use crate::id::ChunkId;
use crate::repo::error::{Error, Result};

/// Reads the trees of one repository.
#[derive(Clone)]
pub struct Trees {
    reader: Arc<Reader>,
    nodes_read: Arc<AtomicU64>,
}

/// An entry of a directory, with its owners' names and totals from the node.
#[derive(Clone, Debug)]
pub struct DirEntry {
    /// The entry as it is stored.
    pub entry: Entry,
    /// Name of the owning user.
    pub user: Option<Arc<str>>,
    /// Name of the owning group.
    pub group: Option<Arc<str>>,
    /// Sums over everything below, for directories.
    pub totals: Option<Totals>,
}

impl DirEntry {
    /// Returns the sums over its content: of a directory over all below it, else of the entry
    /// itself. Only files count bytes.
    pub fn content_totals(&self) -> Totals {
        let bytes = if self.entry.kind == EntryKind::File { self.entry.size } else { 0 };
        self.totals.unwrap_or(Totals { files: 1, dirs: 0, bytes })
    }

    /// Returns the memory that it takes in bytes, as an estimate.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.entry.parts_memory_bytes() + self.owner_names_len()
    }

    /// Returns the bytes of the names of its owner and group.
    pub fn owner_names_len(&self) -> usize {
        [&self.user, &self.group].into_iter().flatten().map(|name| name.len()).sum()
    }
}

impl Trees {
    /// Makes a view of the trees that `reader` can reach.
    pub fn new(reader: Arc<Reader>) -> Self {
        Self { reader, nodes_read: Arc::default() }
    }

    /// Returns the reader.
    pub fn reader(&self) -> &Arc<Reader> {
        &self.reader
    }

    /// Returns the number of directory nodes that were read through this value and its clones.
    pub fn nodes_read(&self) -> u64 {
        self.nodes_read.load(Ordering::Relaxed)
    }

    /// Returns one node of a directory, verified against its id and the rules of the format.
    pub fn node(&self, id: &ChunkId) -> Result<TreeNode> {
        self.nodes_read.fetch_add(1, Ordering::Relaxed);
        let location = self.reader.locate(id)?.ok_or(Error::MissingChunk { id: *id })?;
        let parsed = self.reader.with_chunk(&location, ChunkKind::Tree, id, TreeNode::decode)?;
        Reader::parsed(id, parsed)
    }

    /// Returns one node of a chunk list, verified against its id and the rules of the format.
    pub fn list_node(&self, id: &ChunkId) -> Result<ListNode> {
        let location = self.reader.locate(id)?.ok_or(Error::MissingChunk { id: *id })?;
        let parsed = self.reader.with_chunk(&location, ChunkKind::List, id, ListNode::decode)?;
        Reader::parsed(id, parsed)
    }

    /// Returns the entry `name` of a directory, reading one path of nodes.
    pub fn find(&self, dir: &ChunkId, name: &[u8]) -> Result<Option<DirEntry>> {
        Ok(self.leaf_for(dir, name)?.into_iter().find(|found| found.entry.name == name))
    }

    /// Returns the entries of the leaf that holds `name` if the directory does, sorted by name.
    pub fn leaf_for(&self, dir: &ChunkId, name: &[u8]) -> Result<Vec<DirEntry>> {
        let mut promised = Promised::top(*dir);
        // Each level is one less than the one above, so this ends.
        loop {
            let node = self.node(&promised.id)?;
            promised.check(&node)?;
            match node {
                TreeNode::Inner { level, children } => match promised.child(level, &children, name)
                {
                    Some(child) => promised = child,
                    None => return Ok(Vec::new()),
                },
                leaf => return Ok(leaf_entries(leaf)),
            }
        }
    }

    /// Returns the entry at an absolute path below a snapshot's root; `None` if there is none.
    ///
    /// The path may have repeated or trailing slashes; the root itself has no entry, so `/` is
    /// `None` too.
    pub fn lookup(&self, root: &ChunkId, path: &[u8]) -> Result<Option<DirEntry>> {
        let mut dir = *root;
        let mut parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).peekable();
        while let Some(part) = parts.next() {
            let Some(found) = self.find(&dir, part)? else {
                return Ok(None);
            };
            if parts.peek().is_none() {
                return Ok(Some(found));
            }
            let Content::Tree(below) = found.entry.content else {
                return Ok(None);
            };
            dir = below;
        }
        Ok(None)
    }

    /// Returns the pieces of a file in order, reading one list node at a time; none for inline
    /// content.
    pub fn refs(&self, content: &Content) -> RefIter {
        let (pending, leaf) = match content {
            Content::Refs(refs) => (Vec::new(), refs.clone()),
            Content::List(id) => (vec![(*id, ListPromise::default())], Vec::new()),
            _ => (Vec::new(), Vec::new()),
        };
        RefIter { trees: self.clone(), pending, leaf: leaf.into_iter() }
    }
}

/// Returns the entries of a leaf with owners' names and directories' totals; none for an inner
/// node.
pub fn leaf_entries(node: TreeNode) -> Vec<DirEntry> {
    let TreeNode::Leaf { strings, entries, dir_totals } = node else {
        return Vec::new();
    };
    let strings: Vec<Arc<str>> = strings.into_iter().map(Arc::from).collect();
    let name = |at: u32| (at as usize).checked_sub(1).and_then(|at| strings.get(at).cloned());
    let mut totals = dir_totals.into_iter();
    let mut describe = |entry: Entry| DirEntry {
        user: name(entry.user),
        group: name(entry.group),
        totals: if entry.kind == EntryKind::Dir { totals.next() } else { None },
        entry,
    };
    entries.into_iter().map(&mut describe).collect()
}

/// The pieces of one file.
pub struct RefIter {
    trees: Trees,
    pending: Vec<(ChunkId, ListPromise)>,
    leaf: std::vec::IntoIter<Ref>,
}

impl RefIter {
    fn step(&mut self) -> Result<Option<Ref>> {
        loop {
            if let Some(piece) = self.leaf.next() {
                return Ok(Some(piece));
            }
            let Some((id, promise)) = self.pending.pop() else {
                return Ok(None);
            };
            let node = self.trees.list_node(&id)?;
            promise.check(&node).map_err(Error::malformed(format!("chunk {}", id.short())))?;
            match node {
                ListNode::Inner { level, children } => {
                    let promise =
                        |bytes| ListPromise { level: Some(level - 1), bytes: Some(bytes) };
                    self.pending.extend(
                        children.iter().rev().map(|child| (child.id, promise(child.bytes))),
                    );
                }
                ListNode::Leaf { refs } => self.leaf = refs.into_iter(),
            }
        }
    }
}

impl Iterator for RefIter {
    type Item = Result<Ref>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.pending.clear();
        }
        step.transpose()
    }
}
