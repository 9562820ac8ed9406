//! Lazy walk through a snapshot's tree in the order of names. Trees that are not selected are not
//! read.

use std::sync::Arc;

use super::select::{Selection, Selector};
use crate::format::entry::Content;
use crate::id::ChunkId;
use crate::repo::{Descent, DirEntry, Error, Trees};

/// One event of the walk.
pub(crate) enum WalkEvent {
    /// A directory begins; the flag says whether it is selected, or only searched for selected
    /// entries.
    Enter(Box<DirEntry>, bool),
    /// A selected entry that is not a directory.
    Entry(Box<DirEntry>),
    /// The name of an entry that is not selected.
    Unselected(Vec<u8>),
    /// The rest of the current directory cannot be read; its end follows.
    Unreadable(Error),
    /// The current directory ends.
    Leave,
}

/// A walk through one directory of a snapshot, or to a single entry.
pub(crate) struct SnapshotWalk {
    select: Arc<Selector>,
    kind: WalkKind,
}

enum WalkKind {
    Below(Box<DirWalk>),
    /// One entry, `None` after it was returned, and its name.
    Single(Option<Box<DirEntry>>, Vec<u8>),
}

struct DirWalk {
    descent: Descent,
    /// The directories that the walk is in.
    levels: Vec<WalkLevel>,
}

#[derive(Clone, Copy)]
struct WalkLevel {
    tree: ChunkId,
    is_taken: bool,
}

impl SnapshotWalk {
    /// Walks everything below the directory with this tree. There is no event for its beginning,
    /// but one for its end.
    pub(crate) fn below(trees: &Trees, dir: &ChunkId, select: Arc<Selector>) -> Self {
        let levels = vec![WalkLevel { tree: *dir, is_taken: false }];
        Self {
            select,
            kind: WalkKind::Below(Box::new(DirWalk {
                descent: Descent::new(trees, dir, b""),
                levels,
            })),
        }
    }

    /// Walks one entry that is not a directory.
    pub(crate) fn single(entry: Box<DirEntry>, select: Arc<Selector>) -> Self {
        let name = entry.entry.name.clone();
        Self { select, kind: WalkKind::Single(Some(entry), name) }
    }

    /// Returns the next event, `None` after the end of the top directory.
    pub(crate) fn next(&mut self) -> Option<WalkEvent> {
        let below = match &mut self.kind {
            WalkKind::Below(below) => below,
            WalkKind::Single(entry, name) => {
                let entry = entry.take()?;
                return Some(match self.select.judge(name, false, false) {
                    Selection::Take => WalkEvent::Entry(entry),
                    Selection::Skip | Selection::Search => WalkEvent::Unselected(entry.entry.name),
                });
            }
        };
        let is_taken = below.levels.last()?.is_taken;
        match below.descent.next() {
            None => {
                below.descent.leave();
                below.levels.pop();
                Some(WalkEvent::Leave)
            }
            Some(Err(error)) => Some(WalkEvent::Unreadable(error)),
            Some(Ok(entry)) => Some(below.judged(&self.select, Box::new(entry), is_taken)),
        }
    }

    /// Skips the rest of the directory that was entered last; there is no event for its end.
    pub(crate) fn skip_dir(&mut self) {
        if let WalkKind::Below(below) = &mut self.kind {
            below.descent.leave();
            below.levels.pop();
        }
    }

    /// Returns the path of the current entry, relative to the top directory.
    pub(crate) fn path(&self) -> &[u8] {
        match &self.kind {
            WalkKind::Below(below) => below.path(),
            WalkKind::Single(_, name) => name,
        }
    }

    /// Returns the tree of the parent of the directory that was entered last.
    pub(crate) fn tree_above(&self) -> Option<ChunkId> {
        match &self.kind {
            WalkKind::Below(below) => Some(below.levels.iter().nth_back(1)?.tree),
            WalkKind::Single(..) => None,
        }
    }

    /// Returns whether an entry at `path`, in a directory that was taken, would be selected if the
    /// snapshot had it.
    pub(crate) fn would_select(&self, path: &[u8], is_dir: bool) -> bool {
        self.select.judge(path, is_dir, true) == Selection::Take
    }

    /// Returns whether the top directory is selected with everything in it; false for a single
    /// entry.
    pub(crate) fn takes_all(&self) -> bool {
        matches!(self.kind, WalkKind::Below(_)) && !self.select.has_includes()
    }
}

impl DirWalk {
    fn judged(&mut self, select: &Selector, entry: Box<DirEntry>, inside: bool) -> WalkEvent {
        let Content::Tree(tree) = entry.entry.content else {
            return match select.judge(self.path(), false, inside) {
                Selection::Take => WalkEvent::Entry(entry),
                Selection::Skip | Selection::Search => WalkEvent::Unselected(entry.entry.name),
            };
        };
        let verdict = select.judge(self.path(), true, inside);
        if verdict == Selection::Skip {
            return WalkEvent::Unselected(entry.entry.name);
        }
        let is_taken = verdict == Selection::Take;
        self.descent.enter(&tree);
        self.levels.push(WalkLevel { tree, is_taken });
        WalkEvent::Enter(entry, is_taken)
    }

    fn path(&self) -> &[u8] {
        self.descent.path().strip_prefix(b"/").unwrap_or_default()
    }
}
