//! New trees that leave out what cannot be read.
//!
//! A complete directory keeps its nodes and is not stored again; a directory with losses, and its
//! ancestors, get new nodes. Memory: the changes in the directories of the current path (see
//! [`Stack`] for their decoded entries), and 32 bytes for each complete directory.

use std::collections::HashMap;

use crate::format::entry::{Content, Ref};
use crate::format::limits::{SNAPSHOT_PROBLEMS_LEN_MAX_BYTES, SNAPSHOT_PROBLEMS_MAX};
use crate::format::node::{Totals, TreeNode};
use crate::format::snapshot::SnapshotProblem;
use crate::id::{ChunkId, ChunkSet};
use crate::maintain::check::Damage;
use crate::monitor::Monitor;
use crate::repo::read::node_ref::Promised;
use crate::repo::read::stack::{Holds, Stack};
use crate::repo::read::trees::leaf_entries;
use crate::repo::write::tree_builder::TreeBuilder;
use crate::repo::{DirEntry, Error, Lane, Result, Trees};

/// The remainder of a tree.
pub(super) enum TreeRemainder {
    /// All of the tree.
    Whole,
    /// A new tree.
    Without(NewRoot),
    /// Nothing, because the top node is lost.
    Nothing,
}

/// A tree that leaves out lost entries.
pub(super) struct NewRoot {
    /// Its top node.
    pub root: ChunkId,
    /// Its totals.
    pub totals: Totals,
    /// The losses.
    pub lost: LossList,
}

/// Losses, as a snapshot records them.
#[derive(Default)]
pub(super) struct LossList {
    /// Number of lost files, and of directories with lost entries.
    pub count: u64,
    /// The first losses, as many as a snapshot may list.
    pub problems: Vec<SnapshotProblem>,
    len_bytes: usize,
}

/// Kind of a problem: it cannot be read. Spec: `format-spec/08-snapshots.md`, section 2.
const UNREADABLE: u8 = 1;

impl LossList {
    fn note(&mut self, path: &[u8], message: &str) {
        self.count += 1;
        let path = if path.is_empty() { b"/" } else { path };
        self.len_bytes = self.len_bytes.saturating_add(path.len() + message.len());
        // The first losses are listed, not the ones that happen to be short.
        if self.problems.len() < SNAPSHOT_PROBLEMS_MAX
            && self.len_bytes <= SNAPSHOT_PROBLEMS_LEN_MAX_BYTES
        {
            self.problems.push(SnapshotProblem {
                path: path.to_vec(),
                kind: UNREADABLE,
                message: message.to_owned(),
            });
        }
    }

    /// Adds the snapshot's own problems after the losses, as far as there is room.
    pub(super) fn add_all(&mut self, count: u64, problems: &[SnapshotProblem]) {
        self.count = self.count.saturating_add(count);
        for problem in problems {
            self.len_bytes =
                self.len_bytes.saturating_add(problem.path.len() + problem.message.len());
            if self.problems.len() < SNAPSHOT_PROBLEMS_MAX
                && self.len_bytes <= SNAPSHOT_PROBLEMS_LEN_MAX_BYTES
            {
                self.problems.push(problem.clone());
            }
        }
    }
}

/// Trees without the nodes that are known to be damaged although the index names them.
pub(super) struct SoundTrees<'a> {
    /// The trees.
    pub trees: &'a Trees,
    /// Nodes that contradict the references to them.
    pub damage: &'a Damage,
}

impl SoundTrees<'_> {
    fn has(&self, id: &ChunkId) -> Result<bool> {
        Ok(self
            .trees
            .reader()
            .locate(id)?
            .is_some_and(|location| !self.damage.is_lost(id, &location)))
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
                Ok(Ref::Data { id, len })
                    if !self.has(&id)? || self.damage.is_misstated(&id, len.into()) =>
                {
                    return Ok(false);
                }
                Ok(_) => {}
                Err(error) if error.is_damage() => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// Iterator over the readable entries of a directory. Decoded nodes can be dropped to save memory;
/// they are read again then.
struct ReadableDir {
    top: ChunkId,
    pending: Vec<Promised>,
    leaf: std::vec::IntoIter<DirEntry>,
    /// Name of the last returned entry.
    last: Vec<u8>,
    /// Entries up to this name were returned before the nodes were dropped.
    behind: Option<Vec<u8>>,
    held_bytes: usize,
    has_gaps: bool,
}

impl ReadableDir {
    fn new(top: ChunkId) -> Self {
        let (pending, leaf) = (vec![Promised::top(top)], Vec::new().into_iter());
        Self { top, pending, leaf, last: Vec::new(), behind: None, held_bytes: 0, has_gaps: false }
    }

    fn next(&mut self, sound: &SoundTrees) -> Result<Option<DirEntry>> {
        loop {
            if let Some(entry) = self.leaf.next() {
                self.last.clone_from(&entry.entry.name);
                return Ok(Some(entry));
            }
            let Some(promised) = self.pending.pop() else {
                self.held_bytes = 0;
                return Ok(None);
            };
            // A node that contradicts its parent is rejected by every reader, and cannot be part of
            // a new tree.
            match sound.node(&promised.id)?.filter(|node| promised.check(node).is_ok()) {
                None => self.has_gaps = true,
                Some(TreeNode::Inner { level, children }) => {
                    // Skips children whose next sibling begins at or before that name: all their
                    // entries were returned.
                    let passed = self.behind.as_ref().map_or(0, |behind| {
                        children
                            .partition_point(|child| child.first_name <= *behind)
                            .saturating_sub(1)
                    });
                    self.pending
                        .extend(promised.children(level, children).into_iter().skip(passed).rev());
                }
                Some(leaf) => {
                    let mut entries = leaf_entries(leaf);
                    if let Some(behind) = &self.behind {
                        entries.retain(|found| found.entry.name > *behind);
                    }
                    self.held_bytes = entries.iter().map(DirEntry::memory_bytes).sum();
                    self.held_bytes +=
                        self.pending.iter().map(Promised::memory_bytes).sum::<usize>();
                    self.leaf = entries.into_iter();
                }
            }
        }
    }

    fn give_up(&mut self) {
        if self.held_bytes > 0 {
            (self.pending, self.leaf) = (vec![Promised::top(self.top)], Vec::new().into_iter());
            (self.behind, self.held_bytes) = (Some(self.last.clone()), 0);
        }
    }
}

/// Change of an entry.
enum EntryChange {
    LeftOut,
    Dir(ChunkId, Totals),
}

/// A directory whose entries are being walked.
struct OpenDir {
    tree: ChunkId,
    /// Length of its parent's path in bytes.
    parent_len: usize,
    entries: ReadableDir,
    changes: HashMap<Vec<u8>, EntryChange>,
}

impl Holds for OpenDir {
    fn held_bytes(&self) -> usize {
        self.entries.held_bytes
    }

    fn give_up(&mut self) {
        self.entries.give_up();
    }
}

/// Walk that stores trees without what cannot be read.
pub(super) struct LeaveOut<'a, 's> {
    sound: &'a SoundTrees<'a>,
    whole: &'a mut ChunkSet,
    lane: &'a mut Lane<'s>,
    monitor: &'a Monitor,
    lost: LossList,
    path: Vec<u8>,
    open: Stack<OpenDir>,
}

impl<'a, 's> LeaveOut<'a, 's> {
    /// Starts a walk. `whole` has the directories that are known to be complete, and receives more.
    pub(super) fn new(
        sound: &'a SoundTrees<'a>,
        whole: &'a mut ChunkSet,
        lane: &'a mut Lane<'s>,
        monitor: &'a Monitor,
    ) -> Self {
        Self {
            sound,
            whole,
            lane,
            monitor,
            lost: LossList::default(),
            path: Vec::new(),
            open: Stack::new(),
        }
    }

    /// Walks a tree; if something is lost, stores the new nodes of the remainder.
    pub(super) fn run(mut self, root: &ChunkId) -> Result<TreeRemainder> {
        if self.sound.node(root)?.is_none() {
            return Ok(TreeRemainder::Nothing);
        }
        self.enter(*root, 0);
        loop {
            if self.monitor.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let sound = self.sound;
            let Some(next) = self.open.with_last(|top| top.entries.next(sound)) else {
                return Ok(TreeRemainder::Whole);
            };
            if let Some(entry) = next? {
                self.inspect(entry)?;
                continue;
            }
            let Some(done) = self.open.pop() else { continue };
            let change = self.close(&done)?;
            let name = self.path.get(done.parent_len + 1..).unwrap_or_default().to_vec();
            self.path.truncate(done.parent_len);
            match change {
                None => {}
                Some(change) if !self.open.is_empty() => self.note(name, change),
                Some(EntryChange::Dir(root, totals)) => {
                    return Ok(TreeRemainder::Without(NewRoot { root, totals, lost: self.lost }));
                }
                Some(EntryChange::LeftOut) => return Ok(TreeRemainder::Nothing),
            }
        }
    }

    fn enter(&mut self, tree: ChunkId, parent_len: usize) {
        let entries = ReadableDir::new(tree);
        self.open.push(OpenDir { tree, parent_len, entries, changes: HashMap::new() });
    }

    fn inspect(&mut self, entry: DirEntry) -> Result<()> {
        let parent_len = self.path.len();
        match &entry.entry.content {
            Content::Tree(tree) if !self.whole.contains(tree) => {
                self.push_name(&entry.entry.name);
                self.enter(*tree, parent_len);
            }
            content @ (Content::Refs(_) | Content::List(_))
                if !self.sound.is_whole(content, entry.entry.size)? =>
            {
                self.push_name(&entry.entry.name);
                self.lost.note(&self.path, "left out by a repair: its content was lost");
                self.path.truncate(parent_len);
                self.note(entry.entry.name, EntryChange::LeftOut);
            }
            _ => {}
        }
        Ok(())
    }

    /// Notes a change of an entry in the current directory.
    fn note(&mut self, name: Vec<u8>, change: EntryChange) {
        self.open.with_last(|top| top.changes.insert(name, change));
    }

    fn push_name(&mut self, name: &[u8]) {
        self.path.push(b'/');
        self.path.extend_from_slice(name);
    }

    /// Stores a directory again if an entry of it changes; returns the change of its own entry.
    fn close(&mut self, done: &OpenDir) -> Result<Option<EntryChange>> {
        if done.changes.is_empty() && !done.entries.has_gaps {
            self.whole.insert(done.tree);
            return Ok(None);
        }
        let mut entries = ReadableDir::new(done.tree);
        let mut builder = TreeBuilder::default();
        while let Some(mut entry) = entries.next(self.sound)? {
            match done.changes.get(&entry.entry.name) {
                None => {}
                Some(EntryChange::LeftOut) => continue,
                Some(EntryChange::Dir(tree, totals)) => {
                    entry.entry.content = Content::Tree(*tree);
                    entry.totals = Some(*totals);
                }
            }
            builder.push(self.lane, entry)?;
        }
        if entries.has_gaps {
            self.lost.note(
                &self.path,
                "left out by a repair: some or all of what was in this folder was lost",
            );
        }
        let (tree, totals) = builder.finish(self.lane)?;
        Ok(Some(EntryChange::Dir(tree, totals)))
    }
}
