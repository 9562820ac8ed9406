//! The results of one folder's names, put in order as they come in, and folded into its tree.

use std::collections::{BTreeMap, VecDeque};

use super::context::Counts;
use super::known::KnownFolder;
use super::target_writer::TargetWriter;
use crate::format::entry::{Content, Entry};
use crate::format::node::Totals;
use crate::id::ChunkId;
use crate::repo::write::tree_builder::TreeBuilder;
use crate::repo::{DirEntry, Result};

/// What became of one name.
pub enum Done {
    /// It is not in the snapshot; `gap` says whether the parent had it.
    Skipped {
        /// Whether the parent had an entry of this name.
        gap: bool,
    },
    /// It has an entry.
    Entry {
        /// The entry.
        entry: Box<DirEntry>,
        /// Whether it is exactly the parent's, and nothing that the parent had before it is gone.
        same: bool,
    },
    /// It is the parent's entry, below a folder that vouches for its own entries.
    Same,
    /// It is the parent's entry, but its content has changed.
    Below {
        /// Its tree now.
        tree: ChunkId,
        /// Sums over everything in it.
        totals: Totals,
    },
}

/// What the parent had under a name.
pub struct Earlier {
    /// The parent's entry.
    pub entry: Option<Box<DirEntry>>,
    /// Whether names that the parent had before this one are gone.
    pub gap: bool,
}

impl Done {
    /// Compares what reading a file gave with what the parent had, and counts it.
    ///
    /// A file that was read only because its stamps could not be trusted may turn out to be the
    /// same.
    pub fn of_read(counts: &Counts, entry: Option<DirEntry>, earlier: Earlier) -> Self {
        let Some(entry) = entry else {
            return Self::Skipped { gap: earlier.gap || earlier.entry.is_some() };
        };
        let same = earlier.entry.as_ref().is_some_and(|earlier| {
            earlier.entry.content == entry.entry.content
                && is_equal_but_for_content(earlier, &entry)
        });
        let counter = match (&earlier.entry, same) {
            (None, _) => &counts.new,
            (Some(_), false) => &counts.changed,
            (Some(_), true) => &counts.unchanged,
        };
        Counts::add(counter, 1);
        Self::Entry { entry: Box::new(entry), same: same && !earlier.gap }
    }
}

/// Compares all but content and the positions of owners' names, which depend on the neighbours.
pub fn is_equal_but_for_content(earlier: &DirEntry, now: &DirEntry) -> bool {
    let content = earlier.entry.content.clone();
    let positioned = Entry {
        user: earlier.entry.user,
        group: earlier.entry.group,
        content,
        ..now.entry.clone()
    };
    earlier.entry == positioned && (&earlier.user, &earlier.group) == (&now.user, &now.group)
}

/// A run of neighbouring names.
struct Group {
    slots: Vec<Option<Done>>,
    missing: usize,
}

/// Results in the order of names; groups are folded as soon as they and all before them are
/// complete.
pub struct Gather {
    /// Those that are open, the group with the number `next` first.
    groups: VecDeque<Group>,
    next: usize,
    group_count: Option<usize>,
    fold: Fold,
}

impl Gather {
    /// Starts with nothing; `before` is the folder's tree in the parent.
    pub fn new(before: Option<(ChunkId, Totals)>) -> Self {
        let fold =
            Compared { before, same: before.map(|_| 0), kept: 0, builder: TreeBuilder::default() };
        Self { groups: VecDeque::new(), next: 0, group_count: None, fold: Fold::Compared(fold) }
    }

    /// Starts with the parent's entries, of which only the subfolders at these positions can
    /// differ.
    pub fn covered(known: KnownFolder, positions: Vec<u32>) -> Self {
        let mut gather = Self::new(None);
        gather.open(0, positions.len());
        gather.close(1);
        gather.fold = Fold::Covered(CoveredFold {
            before: (known.tree, known.totals),
            positions,
            folded: 0,
            changed: BTreeMap::new(),
        });
        gather
    }

    /// Returns how many entries were folded.
    pub fn kept(&self) -> u64 {
        match &self.fold {
            Fold::Compared(fold) => fold.kept,
            Fold::Covered(_) => 0,
        }
    }

    /// Returns how many groups are not folded yet.
    pub fn open_groups(&self) -> usize {
        self.groups.len()
    }

    /// Opens a group of `len` names; groups are opened in their order.
    pub fn open(&mut self, group: usize, len: usize) {
        debug_assert_eq!(group, self.next + self.groups.len());
        self.groups.push_back(Group { slots: (0..len).map(|_| None).collect(), missing: len });
    }

    /// Puts one result in its place.
    pub fn fill(&mut self, group: usize, position: usize, done: Done) {
        let group = self
            .groups
            .get_mut(group - self.next)
            .expect("a group is open until all its slots are filled");
        group.slots[position] = Some(done);
        group.missing -= 1;
    }

    /// States that there are no more groups than these.
    pub fn close(&mut self, group_count: usize) {
        self.group_count = Some(group_count);
    }

    /// Folds what is complete; true when everything is.
    pub fn advance(&mut self, writer: &mut TargetWriter) -> Result<bool> {
        while let Some(group) = self.groups.pop_front_if(|group| group.missing == 0) {
            self.next += 1;
            for done in group.slots.into_iter().flatten() {
                self.fold.push(writer, done)?;
            }
        }
        Ok(self.group_count == Some(self.next))
    }

    /// Returns the folder's tree and sums; `gap` says whether the parent had names behind the last
    /// one.
    pub fn finish(&mut self, writer: &mut TargetWriter, gap: bool) -> Result<(ChunkId, Totals)> {
        self.fold.finish(writer, gap)
    }
}

/// How results become a tree.
enum Fold {
    Compared(Compared),
    Covered(CoveredFold),
}

impl Fold {
    fn push(&mut self, writer: &mut TargetWriter, done: Done) -> Result<()> {
        match self {
            Self::Compared(fold) => fold.push(writer, done),
            Self::Covered(fold) => {
                fold.push(done);
                Ok(())
            }
        }
    }

    fn finish(&mut self, writer: &mut TargetWriter, gap: bool) -> Result<(ChunkId, Totals)> {
        match self {
            Self::Compared(fold) => fold.finish(writer, gap),
            Self::Covered(fold) => fold.finish(writer),
        }
    }
}

/// Builds a tree, or finds that it is the parent's.
///
/// As long as every entry is the parent's next one, only their number is kept. With the first
/// difference the parent's entries up to there are read again and built; so an unchanged folder
/// costs no building and no memory.
struct Compared {
    before: Option<(ChunkId, Totals)>,
    same: Option<u64>,
    kept: u64,
    builder: TreeBuilder,
}

impl Compared {
    fn push(&mut self, writer: &mut TargetWriter, done: Done) -> Result<()> {
        match (done, &mut self.same) {
            (Done::Entry { same: true, .. }, Some(count)) => {
                *count += 1;
                self.kept += 1;
                Ok(())
            }
            (Done::Entry { entry, .. }, _) => {
                self.build_same(writer)?;
                self.kept += 1;
                self.builder.push(&mut writer.lane, *entry)
            }
            (Done::Same | Done::Below { .. }, _) => {
                unreachable!("only a folder that vouches for its entries has such children")
            }
            (Done::Skipped { gap: true }, _) => self.build_same(writer),
            (Done::Skipped { gap: false }, _) => Ok(()),
        }
    }

    fn build_same(&mut self, writer: &mut TargetWriter) -> Result<()> {
        let (Some(count), Some((tree, _))) = (self.same.take(), self.before) else {
            return Ok(());
        };
        let entries = writer.parent_entries(&tree);
        for entry in entries.take(usize::try_from(count).expect("entries were counted one by one"))
        {
            self.builder.push(&mut writer.lane, entry?)?;
        }
        Ok(())
    }

    fn finish(&mut self, writer: &mut TargetWriter, gap: bool) -> Result<(ChunkId, Totals)> {
        if let (Some(_), Some(before), false) = (self.same, self.before, gap) {
            return Ok(before);
        }
        self.build_same(writer)?;
        std::mem::take(&mut self.builder).finish(&mut writer.lane)
    }
}

/// The parent's tree, but for subfolders in which something changed.
struct CoveredFold {
    before: (ChunkId, Totals),
    positions: Vec<u32>,
    folded: usize,
    changed: BTreeMap<u32, Done>,
}

impl CoveredFold {
    fn push(&mut self, done: Done) {
        if !matches!(done, Done::Same) {
            self.changed.insert(self.positions[self.folded], done);
        }
        self.folded += 1;
    }

    fn finish(&mut self, writer: &mut TargetWriter) -> Result<(ChunkId, Totals)> {
        if self.changed.is_empty() {
            return Ok(self.before);
        }
        let mut builder = TreeBuilder::default();
        for (position, entry) in (0u32..).zip(writer.parent_entries(&self.before.0)) {
            let mut entry = entry?;
            match self.changed.remove(&position) {
                None | Some(Done::Same) => {}
                Some(Done::Skipped { .. }) => continue,
                Some(Done::Entry { entry: now, .. }) => entry = *now,
                Some(Done::Below { tree, totals }) => {
                    entry.entry.content = Content::Tree(tree);
                    entry.totals = Some(totals);
                }
            }
            builder.push(&mut writer.lane, entry)?;
        }
        builder.finish(&mut writer.lane)
    }
}
