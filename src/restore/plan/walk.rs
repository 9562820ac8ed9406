//! The snapshot's tree, entry by entry in the order of names, read lazily; what is not selected is
//! not read.

use std::sync::Arc;

use super::select::{Select, Verdict};
use crate::format::entry::Content;
use crate::id::ChunkId;
use crate::repo::{Descent, DirEntry, Error, Trees};

/// One step of the walk.
pub enum Step {
    /// A folder begins; the flag says whether it is selected itself, or only searched for selected
    /// entries.
    Enter(Box<DirEntry>, bool),
    /// A selected entry that is no folder.
    Entry(Box<DirEntry>),
    /// An entry that is in the snapshot but not selected.
    Passed(Vec<u8>),
    /// The rest of the current folder cannot be read; its end follows.
    Broken(Error),
    /// The current folder ends.
    Leave,
}

/// A walk through one folder of a snapshot, or to a single entry.
pub struct Walk {
    select: Arc<Select>,
    kind: Kind,
}

enum Kind {
    Below(Box<Below>),
    /// One entry, and whether the walk came to it.
    Single(Option<Box<DirEntry>>, Vec<u8>),
}

struct Below {
    descent: Descent,
    /// The folders that it is in.
    levels: Vec<Level>,
}

#[derive(Clone, Copy)]
struct Level {
    tree: ChunkId,
    is_taken: bool,
}

impl Walk {
    /// Walks everything below the folder with this tree; the folder itself is not a step, but its
    /// end is.
    pub fn below(trees: &Trees, dir: &ChunkId, select: Arc<Select>) -> Self {
        let levels = vec![Level { tree: *dir, is_taken: false }];
        Self {
            select,
            kind: Kind::Below(Box::new(Below { descent: Descent::new(trees, dir, b""), levels })),
        }
    }

    /// Walks nothing but one entry that is no folder.
    pub fn single(entry: Box<DirEntry>, select: Arc<Select>) -> Self {
        let name = entry.entry.name.clone();
        Self { select, kind: Kind::Single(Some(entry), name) }
    }

    /// Returns the next step, `None` after the end of the top folder.
    pub fn next(&mut self) -> Option<Step> {
        let below = match &mut self.kind {
            Kind::Below(below) => below,
            Kind::Single(entry, name) => {
                let entry = entry.take()?;
                return Some(match self.select.judge(name, false, false) {
                    Verdict::Take => Step::Entry(entry),
                    Verdict::Skip | Verdict::Search => Step::Passed(entry.entry.name),
                });
            }
        };
        let is_taken = below.levels.last()?.is_taken;
        match below.descent.next() {
            None => {
                below.descent.leave();
                below.levels.pop();
                Some(Step::Leave)
            }
            Some(Err(error)) => Some(Step::Broken(error)),
            Some(Ok(entry)) => Some(below.judged(&self.select, Box::new(entry), is_taken)),
        }
    }

    /// Passes over the rest of the folder that was entered last; it does not end with a step.
    pub fn skip_folder(&mut self) {
        if let Kind::Below(below) = &mut self.kind {
            below.descent.leave();
            below.levels.pop();
        }
    }

    /// Returns the path of the current entry below the top.
    pub fn path(&self) -> &[u8] {
        match &self.kind {
            Kind::Below(below) => below.path(),
            Kind::Single(_, name) => name,
        }
    }

    /// Returns the tree of the folder in which the folder stands that was entered last.
    pub fn tree_above(&self) -> Option<ChunkId> {
        match &self.kind {
            Kind::Below(below) => Some(below.levels.iter().nth_back(1)?.tree),
            Kind::Single(..) => None,
        }
    }

    /// Returns whether something that the snapshot does not have would be selected at `path`, in a
    /// folder that was taken.
    pub fn would_select(&self, path: &[u8], is_dir: bool) -> bool {
        self.select.judge(path, is_dir, true) == Verdict::Take
    }

    /// Returns whether the top folder itself is selected with all that is in it; never on the way
    /// to a single entry.
    pub fn takes_all(&self) -> bool {
        matches!(self.kind, Kind::Below(_)) && !self.select.has_includes()
    }
}

impl Below {
    fn judged(&mut self, select: &Select, entry: Box<DirEntry>, inside: bool) -> Step {
        let Content::Tree(tree) = entry.entry.content else {
            return match select.judge(self.path(), false, inside) {
                Verdict::Take => Step::Entry(entry),
                Verdict::Skip | Verdict::Search => Step::Passed(entry.entry.name),
            };
        };
        let verdict = select.judge(self.path(), true, inside);
        if verdict == Verdict::Skip {
            return Step::Passed(entry.entry.name);
        }
        let is_taken = verdict == Verdict::Take;
        self.descent.enter(&tree);
        self.levels.push(Level { tree, is_taken });
        Step::Enter(entry, is_taken)
    }

    fn path(&self) -> &[u8] {
        self.descent.path().strip_prefix(b"/").unwrap_or_default()
    }
}
