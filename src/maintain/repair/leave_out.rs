//! A tree without what cannot be read of it.
//!
//! What is whole keeps its nodes and is not stored again; a folder of which something is lost, and all above it, get new ones.
//! Memory: what changes in the folders on the way to where the walk is, and 32 bytes for each whole folder.

use std::collections::HashMap;

use crate::backup::TreeBuilder;
use crate::format::entry::{Content, Ref};
use crate::format::limits::{SNAPSHOT_PROBLEMS_LEN_MAX_BYTES, SNAPSHOT_PROBLEMS_MAX};
use crate::format::node::{Totals, TreeNode};
use crate::format::promise::TreePromise;
use crate::format::snapshot::SnapshotProblem;
use crate::id::{ChunkId, ChunkSet};
use crate::maintain::check::Damage;
use crate::monitor::Monitor;
use crate::repo::trees::leaf_entries;
use crate::repo::{DirEntry, Error, Lane, Result, Trees};

/// What is left of a tree.
pub enum Left {
    /// All of it.
    Whole,
    /// A new tree.
    Without(NewRoot),
    /// Nothing: the top node is lost.
    Nothing,
}

/// A tree that leaves something out.
pub struct NewRoot {
    /// Its top node.
    pub root: ChunkId,
    /// Sums over everything in it.
    pub totals: Totals,
    /// What it leaves out.
    pub lost: Lost,
}

/// What is left out, as it is said in a snapshot.
#[derive(Default)]
pub struct Lost {
    /// How many files, and folders of which entries are lost.
    pub count: u64,
    /// The first of them, as many as a snapshot may list.
    pub problems: Vec<SnapshotProblem>,
    len_bytes: usize,
}

/// What a problem's kind says of what cannot be read. Spec: `format-spec/08-snapshots.md`, section 2.
const UNREADABLE: u8 = 1;

impl Lost {
    fn note(&mut self, path: &[u8], message: &str) {
        self.count += 1;
        let path = if path.is_empty() { b"/" } else { path };
        self.len_bytes = self.len_bytes.saturating_add(path.len() + message.len());
        // What comes first is listed, not what happens to be short.
        if self.problems.len() < SNAPSHOT_PROBLEMS_MAX && self.len_bytes <= SNAPSHOT_PROBLEMS_LEN_MAX_BYTES {
            self.problems.push(SnapshotProblem { path: path.to_vec(), kind: UNREADABLE, message: message.to_owned() });
        }
    }

    /// Adds what the snapshot itself said, behind what is lost, as far as there is room.
    pub fn add_all(&mut self, count: u64, problems: &[SnapshotProblem]) {
        self.count = self.count.saturating_add(count);
        for problem in problems {
            self.len_bytes = self.len_bytes.saturating_add(problem.path.len() + problem.message.len());
            if self.problems.len() < SNAPSHOT_PROBLEMS_MAX && self.len_bytes <= SNAPSHOT_PROBLEMS_LEN_MAX_BYTES {
                self.problems.push(problem.clone());
            }
        }
    }
}

/// What can be read, and what is known to be lost although the index names it.
pub struct Sight<'a> {
    /// The trees.
    pub trees: &'a Trees,
    /// Nodes that do not fit what refers to them.
    pub damage: &'a Damage,
}

impl Sight<'_> {
    fn has(&self, id: &ChunkId) -> Result<bool> {
        Ok(self.trees.reader().locate(id)?.is_some_and(|location| !self.damage.is_lost(id, &location)))
    }

    fn node(&self, id: &ChunkId) -> Result<Option<TreeNode>> {
        if !self.has(id)? {
            return Ok(None);
        }
        match self.trees.node(id) {
            Err(error) if error.is_damage() => Ok(None),
            read => read.map(Some),
        }
    }

    fn is_whole(&self, content: &Content, size: u64) -> Result<bool> {
        if let Content::List(id) = content
            && (!self.has(id)? || self.damage.is_misstated(id, size))
        {
            return Ok(false);
        }
        for piece in self.trees.refs(content) {
            match piece {
                Ok(Ref::Data { id, len }) if !self.has(&id)? || self.damage.is_misstated(&id, len.into()) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.is_damage() => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// The entries of a folder that can be read.
struct Readable {
    pending: Vec<Below>,
    leaf: std::vec::IntoIter<DirEntry>,
    has_gaps: bool,
}

/// A node to read, and what the one above says of it.
struct Below {
    id: ChunkId,
    level: Option<u8>,
    first_name: Option<Vec<u8>>,
    before: Option<Vec<u8>>,
}

impl Below {
    fn is_right(&self, node: &TreeNode) -> bool {
        let said = TreePromise { level: self.level, first_name: self.first_name.as_deref(), before: self.before.as_deref() };
        said.check(node).is_ok()
    }
}

impl Readable {
    fn new(tree: ChunkId) -> Self {
        let top = Below { id: tree, level: None, first_name: None, before: None };
        Self { pending: vec![top], leaf: Vec::new().into_iter(), has_gaps: false }
    }

    fn next(&mut self, sight: &Sight) -> Result<Option<DirEntry>> {
        loop {
            if let Some(entry) = self.leaf.next() {
                return Ok(Some(entry));
            }
            let Some(below) = self.pending.pop() else {
                return Ok(None);
            };
            // What does not fit would not be read by anybody, nor could it be put into a new tree.
            match sight.node(&below.id)?.filter(|node| below.is_right(node)) {
                None => self.has_gaps = true,
                Some(TreeNode::Inner { level, children }) => {
                    let mut before = below.before;
                    for child in children.into_iter().rev() {
                        let next = before.replace(child.first_name.clone());
                        let (level, first_name) = (Some(level - 1), Some(child.first_name));
                        self.pending.push(Below { id: child.id, level, first_name, before: next });
                    }
                }
                Some(leaf) => self.leaf = leaf_entries(leaf).into_iter(),
            }
        }
    }
}

/// What becomes of an entry.
enum Change {
    LeftOut,
    Folder(ChunkId, Totals),
}

/// A folder whose entries are being looked at.
struct Folder {
    tree: ChunkId,
    /// Bytes of its parent's path.
    parent_len: usize,
    entries: Readable,
    changes: HashMap<Vec<u8>, Change>,
}

/// Makes trees that leave out what cannot be read.
pub struct LeaveOut<'a, 's> {
    sight: &'a Sight<'a>,
    whole: &'a mut ChunkSet,
    lane: &'a mut Lane<'s>,
    monitor: &'a Monitor,
    lost: Lost,
    path: Vec<u8>,
    open: Vec<Folder>,
}

impl<'a, 's> LeaveOut<'a, 's> {
    /// Starts; `whole` holds the folders that are known to lack nothing, and gets more.
    pub fn new(sight: &'a Sight<'a>, whole: &'a mut ChunkSet, lane: &'a mut Lane<'s>, monitor: &'a Monitor) -> Self {
        Self { sight, whole, lane, monitor, lost: Lost::default(), path: Vec::new(), open: Vec::new() }
    }

    /// Walks a tree, and stores the nodes of what is left of it if that is not all.
    pub fn run(mut self, root: &ChunkId) -> Result<Left> {
        if self.sight.node(root)?.is_none() {
            return Ok(Left::Nothing);
        }
        self.enter(*root, 0);
        loop {
            if self.monitor.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let Some(top) = self.open.last_mut() else {
                return Ok(Left::Whole);
            };
            if let Some(entry) = top.entries.next(self.sight)? {
                self.look_at(entry)?;
                continue;
            }
            let Some(done) = self.open.pop() else { continue };
            let change = self.close(&done)?;
            let name = self.path.get(done.parent_len + 1..).unwrap_or_default().to_vec();
            self.path.truncate(done.parent_len);
            match (change, self.open.last_mut()) {
                (None, _) => {}
                (Some(change), Some(parent)) => drop(parent.changes.insert(name, change)),
                (Some(Change::Folder(root, totals)), None) => {
                    return Ok(Left::Without(NewRoot { root, totals, lost: self.lost }));
                }
                (Some(Change::LeftOut), None) => return Ok(Left::Nothing),
            }
        }
    }

    fn enter(&mut self, tree: ChunkId, parent_len: usize) {
        let entries = Readable::new(tree);
        self.open.push(Folder { tree, parent_len, entries, changes: HashMap::new() });
    }

    fn look_at(&mut self, entry: DirEntry) -> Result<()> {
        let parent_len = self.path.len();
        match &entry.entry.content {
            Content::Tree(tree) if !self.whole.contains(tree) => {
                self.push_name(&entry.entry.name);
                self.enter(*tree, parent_len);
            }
            content @ (Content::Refs(_) | Content::List(_)) if !self.sight.is_whole(content, entry.entry.size)? => {
                self.push_name(&entry.entry.name);
                self.lost.note(&self.path, "left out by a repair: its content was lost");
                self.path.truncate(parent_len);
                if let Some(top) = self.open.last_mut() {
                    top.changes.insert(entry.entry.name, Change::LeftOut);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn push_name(&mut self, name: &[u8]) {
        self.path.push(b'/');
        self.path.extend_from_slice(name);
    }

    /// Stores a folder again if anything in it changes; returns what its entry refers to then.
    fn close(&mut self, done: &Folder) -> Result<Option<Change>> {
        if done.changes.is_empty() && !done.entries.has_gaps {
            self.whole.insert(done.tree);
            return Ok(None);
        }
        let mut entries = Readable::new(done.tree);
        let mut builder = TreeBuilder::default();
        while let Some(mut entry) = entries.next(self.sight)? {
            match done.changes.get(&entry.entry.name) {
                None => {}
                Some(Change::LeftOut) => continue,
                Some(Change::Folder(tree, totals)) => {
                    entry.entry.content = Content::Tree(*tree);
                    entry.totals = Some(*totals);
                }
            }
            builder.push(self.lane, entry)?;
        }
        if entries.has_gaps {
            self.lost.note(&self.path, "left out by a repair: some or all of what was in this folder was lost");
        }
        let (tree, totals) = builder.finish(self.lane)?;
        Ok(Some(Change::Folder(tree, totals)))
    }
}
