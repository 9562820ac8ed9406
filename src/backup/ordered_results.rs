//! Results of one directory's names, put in order and written as its tree.
//!
//! Threads deliver results in any order; a tree is written in the order of names. An unchanged
//! directory is not written: it keeps the parent's tree.

use std::collections::{BTreeMap, VecDeque};

use super::context::FileCounts;
use super::fingerprints::KnownDirectory;
use super::target_writer::TargetWriter;
use crate::format::entry::{Content, Entry};
use crate::format::node::Totals;
use crate::id::ChunkId;
use crate::repo::write::tree_builder::TreeBuilder;
use crate::repo::{DirEntry, Result};

/// Result of one name.
pub enum EntryResult {
    /// The name is not in the snapshot.
    Skipped {
        /// Whether the parent has this name, or names before it that were deleted.
        deleted: bool,
    },
    /// The name has an entry.
    Entry {
        /// The entry.
        entry: Box<DirEntry>,
        /// Whether it is the parent's next entry: equal, and no name before it was deleted.
        is_unchanged: bool,
    },
    /// The entry is the parent's. Only in directories whose fingerprint is the parent's.
    Unchanged,
    /// The entry is the parent's, with another tree. Only in such directories, too.
    SubtreeChanged {
        /// The new tree.
        tree: ChunkId,
        /// Sums over everything in it.
        totals: Totals,
    },
}

/// The parent's side of one name.
pub struct ParentEntry {
    /// The parent's entry, if it has one.
    pub entry: Option<Box<DirEntry>>,
    /// Whether names between the last one and this one were deleted.
    pub deleted_before: bool,
}

impl EntryResult {
    /// Compares the new entry of a file with the parent's, and counts it.
    ///
    /// A file that was read because its times are not trusted may turn out to be unchanged.
    pub fn of_read(counts: &FileCounts, entry: Option<DirEntry>, parent: ParentEntry) -> Self {
        let Some(entry) = entry else {
            return Self::Skipped { deleted: parent.deleted_before || parent.entry.is_some() };
        };
        let is_unchanged = parent.entry.as_ref().is_some_and(|parent| {
            parent.entry.content == entry.entry.content && is_equal_but_for_content(parent, &entry)
        });
        let counter = match (&parent.entry, is_unchanged) {
            (None, _) => &counts.new,
            (Some(_), false) => &counts.changed,
            (Some(_), true) => &counts.unchanged,
        };
        FileCounts::add(counter, 1);
        Self::Entry { entry: Box::new(entry), is_unchanged: is_unchanged && !parent.deleted_before }
    }
}

/// Compares all but content. Ignores the positions of owners' names, which depend on other entries.
pub fn is_equal_but_for_content(parent: &DirEntry, now: &DirEntry) -> bool {
    let content = parent.entry.content.clone();
    let positioned =
        Entry { user: parent.entry.user, group: parent.entry.group, content, ..now.entry.clone() };
    parent.entry == positioned && (&parent.user, &parent.group) == (&now.user, &now.group)
}

/// The results of neighbouring names.
struct Batch {
    slots: Vec<Option<EntryResult>>,
    missing: usize,
}

/// Batches of results in the order of names. A batch is written to the tree as soon as it and all
/// before it are complete.
pub struct OrderedResults {
    /// Batches that are not written yet, the one with the number `next` first.
    batches: VecDeque<Batch>,
    next: usize,
    batch_count: Option<usize>,
    sink: ResultSink,
}

impl OrderedResults {
    /// Starts without results; `parent_tree` is the directory's tree in the parent.
    pub fn new(parent_tree: Option<(ChunkId, Totals)>) -> Self {
        let sink = ComparedTree {
            parent_tree,
            unchanged: parent_tree.map(|_| 0),
            kept: 0,
            builder: TreeBuilder::default(),
        };
        Self {
            batches: VecDeque::new(),
            next: 0,
            batch_count: None,
            sink: ResultSink::Compare(sink),
        }
    }

    /// Starts with the parent's tree, in which only the subdirectories at these positions can
    /// differ.
    ///
    /// They are one batch, in this order.
    pub fn of_fingerprinted(known: KnownDirectory, positions: Vec<u32>) -> Self {
        let mut results = Self::new(None);
        results.open(0, positions.len());
        results.close(1);
        results.sink = ResultSink::Patch(PatchedTree {
            parent_tree: (known.tree, known.totals),
            positions,
            taken: 0,
            changed: BTreeMap::new(),
        });
        results
    }

    /// Returns how many entries were written or found unchanged.
    pub fn kept(&self) -> u64 {
        match &self.sink {
            ResultSink::Compare(sink) => sink.kept,
            ResultSink::Patch(_) => 0,
        }
    }

    /// Returns how many batches are not written yet.
    pub fn open_batches(&self) -> usize {
        self.batches.len()
    }

    /// Opens a batch of `len` names; batches are opened in order.
    pub fn open(&mut self, batch: usize, len: usize) {
        debug_assert_eq!(batch, self.next + self.batches.len());
        self.batches.push_back(Batch { slots: (0..len).map(|_| None).collect(), missing: len });
    }

    /// Takes one result.
    pub fn fill(&mut self, batch: usize, position: usize, result: EntryResult) {
        let batch = self
            .batches
            .get_mut(batch - self.next)
            .expect("a batch is open until all its slots are filled");
        batch.slots[position] = Some(result);
        batch.missing -= 1;
    }

    /// Ends the directory: there are no more batches than these.
    pub fn close(&mut self, batch_count: usize) {
        self.batch_count = Some(batch_count);
    }

    /// Writes complete batches, in order; returns whether the directory is complete.
    pub fn advance(&mut self, writer: &mut TargetWriter) -> Result<bool> {
        while let Some(batch) = self.batches.pop_front_if(|batch| batch.missing == 0) {
            self.next += 1;
            for result in batch.slots.into_iter().flatten() {
                self.sink.push(writer, result)?;
            }
        }
        Ok(self.batch_count == Some(self.next))
    }

    /// Returns the directory's tree and sums; `deleted_before` says whether names after the last
    /// one were deleted.
    pub fn finish(
        &mut self,
        writer: &mut TargetWriter,
        deleted_before: bool,
    ) -> Result<(ChunkId, Totals)> {
        self.sink.finish(writer, deleted_before)
    }
}

/// Writes results as a tree.
enum ResultSink {
    Compare(ComparedTree),
    Patch(PatchedTree),
}

impl ResultSink {
    fn push(&mut self, writer: &mut TargetWriter, result: EntryResult) -> Result<()> {
        match self {
            Self::Compare(sink) => sink.push(writer, result),
            Self::Patch(sink) => {
                sink.push(result);
                Ok(())
            }
        }
    }

    fn finish(
        &mut self,
        writer: &mut TargetWriter,
        deleted_before: bool,
    ) -> Result<(ChunkId, Totals)> {
        match self {
            Self::Compare(sink) => sink.finish(writer, deleted_before),
            Self::Patch(sink) => sink.finish(writer),
        }
    }
}

/// A tree that may be the parent's.
///
/// As long as every entry is the parent's next one, they are only counted. At the first difference
/// the parent's entries up to there are read again and written. So an unchanged directory costs no
/// writing and no memory.
struct ComparedTree {
    parent_tree: Option<(ChunkId, Totals)>,
    /// Number of entries, as long as all are the parent's.
    unchanged: Option<u64>,
    kept: u64,
    builder: TreeBuilder,
}

impl ComparedTree {
    fn push(&mut self, writer: &mut TargetWriter, result: EntryResult) -> Result<()> {
        match (result, &mut self.unchanged) {
            (EntryResult::Entry { is_unchanged: true, .. }, Some(count)) => {
                *count += 1;
                self.kept += 1;
                Ok(())
            }
            (EntryResult::Entry { entry, .. }, _) => {
                self.build_unchanged(writer)?;
                self.kept += 1;
                self.builder.push(&mut writer.lane, *entry)
            }
            (EntryResult::Unchanged | EntryResult::SubtreeChanged { .. }, _) => {
                unreachable!("only a directory with the parent's fingerprint has such children")
            }
            (EntryResult::Skipped { deleted: true }, _) => self.build_unchanged(writer),
            (EntryResult::Skipped { deleted: false }, _) => Ok(()),
        }
    }

    fn build_unchanged(&mut self, writer: &mut TargetWriter) -> Result<()> {
        let (Some(count), Some((tree, _))) = (self.unchanged.take(), self.parent_tree) else {
            return Ok(());
        };
        let entries = writer.parent_tree_entries(&tree);
        for entry in entries.take(usize::try_from(count).expect("entries were counted one by one"))
        {
            self.builder.push(&mut writer.lane, entry?)?;
        }
        Ok(())
    }

    fn finish(
        &mut self,
        writer: &mut TargetWriter,
        deleted_before: bool,
    ) -> Result<(ChunkId, Totals)> {
        if let (Some(_), Some(parent_tree), false) =
            (self.unchanged, self.parent_tree, deleted_before)
        {
            return Ok(parent_tree);
        }
        self.build_unchanged(writer)?;
        std::mem::take(&mut self.builder).finish(&mut writer.lane)
    }
}

/// The parent's tree with changed subdirectories.
struct PatchedTree {
    parent_tree: (ChunkId, Totals),
    positions: Vec<u32>,
    taken: usize,
    changed: BTreeMap<u32, EntryResult>,
}

impl PatchedTree {
    fn push(&mut self, result: EntryResult) {
        if !matches!(result, EntryResult::Unchanged) {
            self.changed.insert(self.positions[self.taken], result);
        }
        self.taken += 1;
    }

    fn finish(&mut self, writer: &mut TargetWriter) -> Result<(ChunkId, Totals)> {
        if self.changed.is_empty() {
            return Ok(self.parent_tree);
        }
        let mut builder = TreeBuilder::default();
        for (position, entry) in (0u32..).zip(writer.parent_tree_entries(&self.parent_tree.0)) {
            let mut entry = entry?;
            match self.changed.remove(&position) {
                None | Some(EntryResult::Unchanged) => {}
                Some(EntryResult::Skipped { .. }) => continue,
                Some(EntryResult::Entry { entry: now, .. }) => entry = *now,
                Some(EntryResult::SubtreeChanged { tree, totals }) => {
                    entry.entry.content = Content::Tree(tree);
                    entry.totals = Some(totals);
                }
            }
            builder.push(&mut writer.lane, entry)?;
        }
        builder.finish(&mut writer.lane)
    }
}
