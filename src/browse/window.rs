//! Rename detection: a window of differences in which an entry that vanished is matched with one
//! that appeared.

use std::collections::{HashMap, VecDeque};

use super::changes::{Difference, DifferenceResult};
use super::fields::EntryFields;
use crate::format::codec;
use crate::format::entry::{Content, EntryKind};
use crate::repo::{DirEntry, Trees};

/// Limits of the window. Differences fill half of it; the rest is for the content of directories.
#[derive(Clone, Copy, Debug)]
pub struct WindowLimits {
    /// Number of paths.
    pub paths: usize,
    /// Estimated memory in bytes.
    pub bytes: usize,
}

impl Default for WindowLimits {
    fn default() -> Self {
        Self { paths: 100_000, bytes: 64 << 20 }
    }
}

/// Approximate memory overhead of a path, in bytes.
const ITEM_LEN_BYTES: usize = 700;

/// A path in the window.
pub(super) struct WindowEntry {
    /// `None` once it was taken.
    pub step: Option<DifferenceResult>,
    /// Content of a directory that is on one side only; `None` if it was not read.
    pub below: Option<Vec<usize>>,
    /// The matching entry, if it was moved.
    pub moved: Option<usize>,
    parent: Option<usize>,
    has_moved_below: bool,
}

/// Hash that is equal for entries with the same content.
type ContentHash = [u8; 16];

/// Differences and the content of their directories, as a forest.
pub(super) struct RenameWindow {
    pub items: Vec<WindowEntry>,
    /// Roots of the forest, in order.
    pub tops: Vec<usize>,
    limits: WindowLimits,
    bytes: usize,
    /// A directory did not fit, so no further one is read.
    is_full: bool,
    /// Entries that vanished, and entries that appeared, by content.
    seen: [HashMap<ContentHash, VecDeque<usize>>; 2],
}

impl RenameWindow {
    /// Takes differences until half of the window is full, reads their directories, and finds
    /// moves.
    pub(super) fn fill(
        trees: &Trees,
        limits: WindowLimits,
        steps: &mut dyn Iterator<Item = DifferenceResult>,
    ) -> Self {
        let (items, tops, seen) = (Vec::new(), Vec::new(), Default::default());
        let mut window = Self { items, tops, limits, bytes: 0, is_full: false, seen };
        while window.has_room(2) {
            let Some(step) = steps.next() else { break };
            let top = window.push(step, None);
            window.tops.push(top);
        }
        let mut fresh: Vec<usize> = window.tops.clone();
        while !fresh.is_empty() {
            let mut folders = fresh;
            folders.retain(|at| {
                window.difference(*at).is_some_and(|one| one.one_sided_tree().is_some())
            });
            window.find_moves(&folders);
            fresh = Vec::new();
            for at in folders {
                if !window.is_full && !window.is_moved_with_all(at) {
                    fresh.extend(window.look_into(trees, at));
                }
            }
        }
        let files: Vec<usize> =
            (0..window.items.len()).filter(|at| window.is_whole_file(*at)).collect();
        window.find_moves(&files);
        window
    }

    fn has_room(&self, part: usize) -> bool {
        self.items.len() < self.limits.paths.div_ceil(part)
            && self.bytes < self.limits.bytes.div_ceil(part)
    }

    fn push(&mut self, step: DifferenceResult, parent: Option<usize>) -> usize {
        self.bytes += ITEM_LEN_BYTES;
        if let Ok(one) = &step {
            let entries = [&one.left, &one.right].into_iter().flatten();
            self.bytes += one.path.len()
                + entries.map(|found| found.entry.parts_memory_bytes()).sum::<usize>();
        }
        self.items.push(WindowEntry {
            step: Some(step),
            below: None,
            moved: None,
            parent,
            has_moved_below: false,
        });
        self.items.len() - 1
    }

    fn difference(&self, at: usize) -> Option<&Difference> {
        self.items[at].step.as_ref()?.as_ref().ok()
    }

    /// Adds the content of a directory that is on one side only, if it fits.
    fn look_into(&mut self, trees: &Trees, at: usize) -> Vec<usize> {
        let Some((path, (is_right, tree))) =
            self.difference(at).and_then(|one| Some((one.path.clone(), one.one_sided_tree()?)))
        else {
            return Vec::new();
        };
        let (first, bytes) = (self.items.len(), self.bytes);
        for found in trees.entries(&tree) {
            if !self.has_room(1) {
                // Half a directory is useless; its content is yielded without rename detection.
                self.items.truncate(first);
                self.bytes = bytes;
                self.is_full = true;
                return Vec::new();
            }
            let step = found
                .map(|found| below(&path, found, is_right))
                .map_err(|error| (path.clone(), error));
            self.push(step, Some(at));
        }
        let added: Vec<usize> = (first..self.items.len()).collect();
        self.items[at].below = Some(added.clone());
        added
    }

    /// Returns whether it, or a directory above it, was moved.
    fn is_moved_with_all(&self, at: usize) -> bool {
        let mut next = Some(at);
        while let Some(at) = next {
            if self.items[at].moved.is_some() {
                return true;
            }
            next = self.items[at].parent;
        }
        false
    }

    /// Returns whether it is on one side only and no directory.
    fn is_whole_file(&self, at: usize) -> bool {
        self.side_of(at).is_some_and(|(_, found)| found.entry.kind != EntryKind::Dir)
    }

    /// Returns an entry that is on one side only, and whether that is the right side.
    fn side_of(&self, at: usize) -> Option<(bool, &DirEntry)> {
        match self.difference(at)? {
            Difference { left: Some(left), right: None, .. } => Some((false, left)),
            Difference { left: None, right: Some(right), .. } => Some((true, right)),
            _ => None,
        }
    }

    /// Matches new entries with each other and with earlier ones: first by name and content, then
    /// by content.
    fn find_moves(&mut self, fresh: &[usize]) {
        let known: Vec<(usize, bool, [ContentHash; 2])> = fresh
            .iter()
            .filter_map(|at| {
                let (is_right, found) = self.side_of(*at)?;
                Some((*at, is_right, identities(found)?))
            })
            .collect();
        for (at, is_right, identities) in &known {
            for identity in identities {
                self.seen[usize::from(*is_right)].entry(*identity).or_default().push_back(*at);
            }
        }
        for round in 0..2 {
            for (at, is_right, identities) in &known {
                if self.can_move(*at)
                    && let Some(other) = self.take_other(!*is_right, &identities[round])
                {
                    self.pair(*at, other);
                }
            }
        }
    }

    fn can_move(&self, at: usize) -> bool {
        !self.items[at].has_moved_below && !self.is_moved_with_all(at)
    }

    fn take_other(&mut self, is_right: bool, identity: &ContentHash) -> Option<usize> {
        loop {
            // An entry that cannot move now never will.
            let at = self.seen[usize::from(is_right)].get_mut(identity)?.pop_front()?;
            if self.can_move(at) {
                return Some(at);
            }
        }
    }

    fn pair(&mut self, one: usize, other: usize) {
        for (at, to) in [(one, other), (other, one)] {
            self.items[at].moved = Some(to);
            let mut above = self.items[at].parent;
            while let Some(parent) = above.filter(|parent| !self.items[*parent].has_moved_below) {
                self.items[parent].has_moved_below = true;
                above = self.items[parent].parent;
            }
        }
    }

    /// Returns whether it is the source of a move.
    pub(super) fn is_source(&self, at: usize) -> bool {
        self.side_of(at).is_some_and(|(is_right, _)| !is_right)
    }
}

/// Returns the difference of an entry below a directory that is on one side only.
fn below(folder: &[u8], found: DirEntry, is_right: bool) -> Difference {
    let path = [folder, b"/", &found.entry.name].concat();
    let (left, right) = if is_right { (None, Some(found)) } else { (Some(found), None) };
    Difference { path, left, right, fields: EntryFields::default() }
}

/// Returns the hashes by which a moved entry is found, with its name and without; `None` if it
/// resembles too many others.
///
/// Directories are equal if their trees are, files if their content is. Small files and links must
/// have equal times, too, because little content is often equal by chance. Empty files and special
/// files never match.
fn identities(found: &DirEntry) -> Option<[ContentHash; 2]> {
    let entry = &found.entry;
    let mut hash = blake3::Hasher::new();
    match &entry.content {
        Content::Tree(_) if found.totals.is_some_and(|totals| totals.files > 0) => {}
        Content::Inline(bytes) if !bytes.is_empty() => {
            hash.update(&codec::encode(&entry.mtime));
        }
        Content::Refs(_) | Content::List(_) => {}
        _ => return None,
    }
    hash.update(&codec::encode(&entry.kind))
        .update(&entry.size.to_le_bytes())
        .update(&codec::encode(&entry.content));
    let short = |hash: &blake3::Hasher| hash.finalize().as_bytes().first_chunk().copied();
    let alone = short(&hash)?;
    Some([short(hash.update(b"name").update(&entry.name))?, alone])
}
