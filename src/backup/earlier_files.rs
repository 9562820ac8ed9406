//! File counts of each source in earlier snapshots.
//!
//! They exist without a parent, too: a further source, or a new user under `home/*`, begins another
//! series, and `--read-all` uses no parent.

use std::collections::{HashMap, HashSet};

use crate::format::entry::{Content, EntryKind};
use crate::format::snapshot::Snapshot;
use crate::id::ChunkId;
use crate::repo::{DirEntry, Result, Trees};

/// How many files each source had.
pub(super) struct EarlierFiles {
    parent: Option<SnapshotLookup>,
    /// Without a parent: the count in the newest snapshot that names the source.
    others: HashMap<Vec<u8>, u64>,
}

impl EarlierFiles {
    /// Uses the parent, in which sources are looked up later, if the walk does not reach them.
    /// Without a parent, looks each of the `paths` up in the newest of the `others` (the newest
    /// first) that names it and can be read.
    pub(super) fn of(
        trees: &Trees,
        parent: Option<&Snapshot>,
        others: &[Snapshot],
        paths: &[Vec<u8>],
    ) -> Result<Self> {
        let parent = parent.map(|parent| SnapshotLookup::of(trees, parent));
        let (mut found, mut left) = (HashMap::new(), HashSet::<&[u8]>::new());
        if parent.is_none() {
            left.extend(paths.iter().map(Vec::as_slice));
        }
        for other in others {
            if left.is_empty() {
                break;
            }
            let mut lookup = SnapshotLookup::of(trees, other);
            for path in other
                .sources
                .iter()
                .filter(|path| left.contains(path.as_slice()))
                .collect::<Vec<_>>()
            {
                match lookup.files(path) {
                    Ok(files) => {
                        left.remove(path.as_slice());
                        found.insert(path.clone(), files);
                    }
                    // An older snapshot may be readable.
                    Err(error) if error.is_damage() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(Self { parent, others: found })
    }

    /// Returns how many files a source had; `met` is the count in the parent's entry, if the walk
    /// reached it.
    pub(super) fn files(&mut self, path: &[u8], met: Option<u64>) -> Result<u64> {
        let Some(parent) = &mut self.parent else {
            return Ok(self.others.get(path).copied().unwrap_or(0));
        };
        match met.map_or_else(|| parent.files(path), Ok) {
            Ok(files) => Ok(files.max(parent.reported(path))),
            Err(error) if error.is_damage() => Ok(parent.reported(path)),
            Err(error) => Err(error),
        }
    }
}

/// First words of a problem that records how many files a source had.
pub(super) const HAD: &str = "this source had ";

/// Returns how many files a source had before it lost them, from the problem of an earlier
/// snapshot.
///
/// So a loss is reported again until the user accepts it.
pub(super) fn files_before(message: &str) -> Option<u64> {
    message.strip_prefix(HAD)?.split(' ').next()?.parse().ok()
}

/// Returns the number of files in an entry: of a directory, all below it.
pub(super) fn files_of(entry: &DirEntry) -> u64 {
    entry
        .totals
        .map_or_else(|| u64::from(entry.entry.kind == EntryKind::File), |totals| totals.files)
}

/// Lookup of sources in one snapshot. Sources come in order, so the last directory and leaf are
/// kept.
struct SnapshotLookup {
    trees: Trees,
    root: ChunkId,
    files: u64,
    /// How many files sources had before, by the problems of the snapshot.
    reported: HashMap<Vec<u8>, u64>,
    /// Path and tree of the last directory.
    last_directory: Option<(Vec<u8>, Option<ChunkId>)>,
    /// Tree and leaf of the last lookup: one directory may have thousands of sources.
    last_leaf: Option<(ChunkId, Vec<DirEntry>)>,
}

impl SnapshotLookup {
    fn of(trees: &Trees, snapshot: &Snapshot) -> Self {
        let mut reported = HashMap::new();
        for problem in &snapshot.problems {
            if let Some(before) = files_before(&problem.message) {
                let most: &mut u64 = reported.entry(problem.path.clone()).or_default();
                *most = before.max(*most);
            }
        }
        Self {
            trees: trees.clone(),
            root: snapshot.root,
            files: snapshot.stats.totals.files,
            reported,
            last_directory: None,
            last_leaf: None,
        }
    }

    fn reported(&self, path: &[u8]) -> u64 {
        self.reported.get(path).copied().unwrap_or(0)
    }

    fn files(&mut self, path: &[u8]) -> Result<u64> {
        let at = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let (above, name) = (&path[..at], path.get(at + 1..).unwrap_or_default());
        if name.is_empty() {
            return Ok(self.files.max(self.reported(path)));
        }
        let files = match self.directory(above)? {
            Some(directory) => self.files_in(directory, name)?,
            None => 0,
        };
        Ok(files.max(self.reported(path)))
    }

    fn files_in(&mut self, directory: ChunkId, name: &[u8]) -> Result<u64> {
        let spans = |leaf: &[DirEntry]| match leaf {
            [first, .., last] => (&first.entry.name[..]..=&last.entry.name[..]).contains(&name),
            _ => false,
        };
        let leaf = match self.last_leaf.take().filter(|(of, leaf)| *of == directory && spans(leaf))
        {
            Some((_, leaf)) => leaf,
            None => self.trees.leaf_for(&directory, name)?,
        };
        let at = leaf.binary_search_by(|found| found.entry.name[..].cmp(name));
        let files = at.map_or(0, |at| files_of(&leaf[at]));
        self.last_leaf = Some((directory, leaf));
        Ok(files)
    }

    fn directory(&mut self, path: &[u8]) -> Result<Option<ChunkId>> {
        if let Some((last, directory)) = &self.last_directory
            && last == path
        {
            return Ok(*directory);
        }
        let directory = match path {
            b"" => Some(self.root),
            _ => self.trees.lookup(&self.root, path)?.and_then(|found| match found.entry.content {
                Content::Tree(tree) => Some(tree),
                _ => None,
            }),
        };
        self.last_directory = Some((path.to_vec(), directory));
        Ok(directory)
    }
}
