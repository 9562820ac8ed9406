//! The snapshot's tree, entry by entry in the order of names, read lazily; what is not selected is not read.

use std::sync::Arc;

use super::select::{Select, Verdict};
use crate::format::codec::DecodeError;
use crate::format::entry::{Content, is_valid_name};
use crate::id::ChunkId;
use crate::repo::trees::DirEntries;
use crate::repo::{DirEntry, Error, Trees};

/// One step of the walk.
pub enum Step {
    /// A folder begins; the flag says whether it is selected itself, or only searched for selected entries.
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
    trees: Trees,
    select: Arc<Select>,
    levels: Vec<Level>,
    single: Option<Box<DirEntry>>,
    path: Vec<u8>,
}

struct Level {
    entries: DirEntries,
    path_len: usize,
    is_taken: bool,
}

impl Walk {
    /// Walks everything below the folder with this tree; the folder itself is not a step, but its end is.
    pub fn below(trees: &Trees, dir: &ChunkId, select: Arc<Select>) -> Self {
        let top = Level { entries: trees.entries(dir), path_len: 0, is_taken: false };
        Self { trees: trees.clone(), select, levels: vec![top], single: None, path: Vec::new() }
    }

    /// Walks nothing but one entry that is no folder.
    pub fn single(trees: &Trees, entry: Box<DirEntry>, select: Arc<Select>) -> Self {
        Self { trees: trees.clone(), select, levels: Vec::new(), single: Some(entry), path: Vec::new() }
    }

    /// Returns the next step, `None` after the end of the top folder.
    pub fn next(&mut self) -> Option<Step> {
        let Some(level) = self.levels.last_mut() else {
            let entry = self.single.take()?;
            self.path = entry.entry.name.clone();
            return Some(self.judged(entry, false));
        };
        self.path.truncate(level.path_len);
        let is_taken = level.is_taken;
        match level.entries.next() {
            None => {
                self.levels.pop();
                Some(Step::Leave)
            }
            Some(Err(error)) => Some(Step::Broken(error)),
            Some(Ok(entry)) if !is_valid_name(&entry.entry.name) => {
                level.entries = self.trees.entries(&ChunkId([0; 32]));
                Some(Step::Broken(Error::malformed("a folder")(DecodeError::new("directory entry", "impossible name"))))
            }
            Some(Ok(entry)) => {
                if !self.path.is_empty() {
                    self.path.push(b'/');
                }
                self.path.extend_from_slice(&entry.entry.name);
                Some(self.judged(Box::new(entry), is_taken))
            }
        }
    }

    fn judged(&mut self, entry: Box<DirEntry>, inside: bool) -> Step {
        let Content::Tree(tree) = entry.entry.content else {
            return match self.select.judge(&self.path, false, inside) {
                Verdict::Take => Step::Entry(entry),
                Verdict::Skip | Verdict::Search => Step::Passed(entry.entry.name),
            };
        };
        let verdict = self.select.judge(&self.path, true, inside);
        if verdict == Verdict::Skip {
            return Step::Passed(entry.entry.name);
        }
        let is_taken = verdict == Verdict::Take;
        self.levels.push(Level { entries: self.trees.entries(&tree), path_len: self.path.len(), is_taken });
        Step::Enter(entry, is_taken)
    }

    /// Passes over the rest of the folder that was entered last; it does not end with a step.
    pub fn skip_folder(&mut self) {
        self.levels.pop();
    }

    /// Returns the path of the current entry below the top.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Returns whether something that the snapshot does not have would be selected at `path`, in a folder that was taken.
    pub fn would_select(&self, path: &[u8], is_dir: bool) -> bool {
        self.select.judge(path, is_dir, true) == Verdict::Take
    }

    /// Returns whether the top folder itself is selected with all that is in it.
    pub fn takes_all(&self) -> bool {
        !self.select.has_includes()
    }
}
