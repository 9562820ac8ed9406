//! The changes between two paths of snapshots.

use super::changes::{Difference, DifferenceResult, Differences};
use super::fields::{EntryField, EntryFields};
use super::resolve::ResolvedPath;
use super::walk::TreeWalk;
use super::window::{RenameWindow, WindowLimits};
use crate::monitor::Monitor;
use crate::repo::{DirEntry, Error, Trees};

/// One path that changed.
#[derive(Clone, Debug)]
pub struct Change {
    /// Path on the right; for a removed entry, on the left.
    pub path: Vec<u8>,
    /// What happened.
    pub kind: ChangeKind,
    /// The old entry; `None` if it was added.
    pub before: Option<DirEntry>,
    /// The new entry; `None` if it was removed.
    pub after: Option<DirEntry>,
    /// The fields that differ, if both exist.
    pub fields: EntryFields,
}

/// What happened to a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is on the right only.
    Added,
    /// It is on the left only.
    Removed,
    /// Its content differs.
    Modified,
    /// Only metadata differs.
    Metadata,
    /// Its kind differs: a file where a directory was.
    Type,
    /// It was moved with its content.
    Renamed {
        /// The path on the left.
        from: Vec<u8>,
    },
}

/// Yields the changes between two paths, in the order of paths; a directory before its content.
///
/// Where a directory cannot be read, its path and the error are yielded and the walk continues
/// after it. Moves are found within a window of [`WindowLimits`]; a moved directory is one change.
/// Memory is bounded by that window.
pub struct Diff<'a> {
    trees: Trees,
    /// Prefixes of the paths on the left and on the right.
    bases: [Vec<u8>; 2],
    limits: WindowLimits,
    differences: Differences<'a>,
    window: Option<RenameWindow>,
    /// Entries of the window still to yield, the next one last.
    to_tell: Vec<usize>,
    /// A directory on one side whose content is being yielded.
    walk: Option<(bool, TreeWalk)>,
}

impl<'a> Diff<'a> {
    /// Compares two paths; cancelling `monitor` ends it with [`Error::Cancelled`].
    pub fn new(
        trees: &Trees,
        places: [&ResolvedPath; 2],
        limits: WindowLimits,
        monitor: &'a Monitor,
    ) -> Self {
        let [left, right] = places;
        Self {
            trees: trees.clone(),
            bases: [left.path.clone(), right.path.clone()],
            limits,
            differences: Differences::new(trees, places, monitor),
            window: None,
            to_tell: Vec::new(),
            walk: None,
        }
    }

    fn path_of(&self, is_right: bool, behind: &[u8]) -> Vec<u8> {
        let path = [&self.bases[usize::from(is_right)], behind].concat();
        if path.is_empty() { b"/".to_vec() } else { path }
    }

    fn change(&self, one: Difference) -> Change {
        let Difference { path, left, right, fields } = one;
        let kind = match (&left, &right) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            _ if fields.has(EntryField::Kind) => ChangeKind::Type,
            _ if fields.has(EntryField::Content) => ChangeKind::Modified,
            _ => ChangeKind::Metadata,
        };
        Change {
            path: self.path_of(right.is_some(), &path),
            kind,
            before: left,
            after: right,
            fields,
        }
    }

    fn renamed(&self, from: Difference, to: Difference) -> Change {
        let fields = match (&from.left, &to.right) {
            (Some(before), Some(after)) => EntryFields::between(before, after),
            _ => EntryFields::default(),
        };
        Change {
            path: self.path_of(true, &to.path),
            kind: ChangeKind::Renamed { from: self.path_of(false, &from.path) },
            before: from.left,
            after: to.right,
            fields,
        }
    }

    /// Returns the change of one entry of the window, if any.
    fn tell(&mut self, at: usize) -> Option<Result<Change, (Vec<u8>, Error)>> {
        let window = self.window.as_mut()?;
        let moved = window.items[at].moved;
        if moved.is_some() && window.is_source(at) {
            // It is yielded at its new path.
            return None;
        }
        let below = window.items[at].below.take();
        let one = match window.items[at].step.take()? {
            Ok(one) => one,
            Err((path, error)) => return Some(Err((self.path_of(true, &path), error))),
        };
        if let Some(from) =
            moved.and_then(|from| window.items[from].step.take()).and_then(DifferenceResult::ok)
        {
            return Some(Ok(self.renamed(from, one)));
        }
        match (below, one.one_sided_tree()) {
            (Some(below), _) => self.to_tell.extend(below.into_iter().rev()),
            (None, Some((is_right, tree))) => {
                self.walk = Some((
                    is_right,
                    TreeWalk::new(&self.trees, &tree, &self.path_of(is_right, &one.path), true),
                ));
            }
            (None, None) => {}
        }
        Some(Ok(self.change(one)))
    }
}

impl Iterator for Diff<'_> {
    type Item = Result<Change, (Vec<u8>, Error)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((is_right, walk)) = &mut self.walk {
                if let Some((path, found)) = walk.next() {
                    return Some(
                        found
                            .map(|found| one_sided(path.clone(), found, *is_right))
                            .map_err(|error| (path, error)),
                    );
                }
                self.walk = None;
            }
            while let Some(at) = self.to_tell.pop() {
                if let Some(told) = self.tell(at) {
                    return Some(told);
                }
            }
            let window = RenameWindow::fill(&self.trees, self.limits, &mut self.differences);
            if window.tops.is_empty() {
                return None;
            }
            self.to_tell = window.tops.iter().rev().copied().collect();
            self.window = Some(window);
        }
    }
}

fn one_sided(path: Vec<u8>, found: DirEntry, is_right: bool) -> Change {
    let (kind, before, after) = if is_right {
        (ChangeKind::Added, None, Some(found))
    } else {
        (ChangeKind::Removed, Some(found), None)
    };
    Change { path, kind, before, after, fields: EntryFields::default() }
}
