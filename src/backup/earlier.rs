//! How many files each source had in earlier snapshots. It is looked up apart from the parent,
//! because a backup may have none: a source that was added, or a user more under `home/*`, begins
//! another series, and `--read-all` takes over nothing.

use std::collections::{HashMap, HashSet};

use crate::format::entry::{Content, EntryKind};
use crate::format::snapshot::Snapshot;
use crate::id::ChunkId;
use crate::repo::{DirEntry, Result, Trees};

/// How many files each source had.
pub struct Earlier {
    parent: Option<Held>,
    /// Without a parent: what the newest snapshot that names a source says of it.
    others: HashMap<Vec<u8>, u64>,
}

impl Earlier {
    /// Begins with the parent, in which only what the walk does not meet is looked up; without one,
    /// each of the `paths` is looked up in the newest of the `others` (the newest first) that names
    /// it and can be read.
    pub fn of(
        trees: &Trees,
        parent: Option<&Snapshot>,
        others: &[Snapshot],
        paths: &[Vec<u8>],
    ) -> Result<Self> {
        let parent = parent.map(|parent| Held::of(trees, parent));
        let (mut found, mut left) = (HashMap::new(), HashSet::<&[u8]>::new());
        if parent.is_none() {
            left.extend(paths.iter().map(Vec::as_slice));
        }
        for other in others {
            if left.is_empty() {
                break;
            }
            let mut held = Held::of(trees, other);
            for path in other
                .sources
                .iter()
                .filter(|path| left.contains(path.as_slice()))
                .collect::<Vec<_>>()
            {
                match held.files(path) {
                    Ok(files) => {
                        left.remove(path.as_slice());
                        found.insert(path.clone(), files);
                    }
                    // An older one may know.
                    Err(error) if error.is_damage() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(Self { parent, others: found })
    }

    /// Returns how many files a source had; `met` is how many the walk found in the parent's entry.
    pub fn files(&mut self, path: &[u8], met: Option<u64>) -> Result<u64> {
        let Some(parent) = &mut self.parent else {
            return Ok(self.others.get(path).copied().unwrap_or(0));
        };
        match met.map_or_else(|| parent.files(path), Ok) {
            Ok(files) => Ok(files.max(parent.told(path))),
            Err(error) if error.is_damage() => Ok(parent.told(path)),
            Err(error) => Err(error),
        }
    }
}

/// How a problem begins that says how many files a source had.
pub const HAD: &str = "this source had ";

/// Returns how many files a problem of an earlier snapshot says that a source had before it lost
/// them.
///
/// What was reported once is reported until the user accepts it.
pub fn before_of(message: &str) -> Option<u64> {
    message.strip_prefix(HAD)?.split(' ').next()?.parse().ok()
}

/// Returns how many files an entry stands for.
pub fn files_of(entry: &DirEntry) -> u64 {
    entry
        .totals
        .map_or_else(|| u64::from(entry.entry.kind == EntryKind::File), |totals| totals.files)
}

/// One snapshot, in which sources are looked up in their order: those in one folder need only that
/// folder again.
struct Held {
    trees: Trees,
    root: ChunkId,
    files: u64,
    /// How many files sources had before, as the snapshot itself says.
    told: HashMap<Vec<u8>, u64>,
    /// The folder in which was looked last.
    last: Option<(Vec<u8>, Option<ChunkId>)>,
    /// The folder and the entries beside which was looked last: sources come by the thousand in one
    /// folder.
    near: Option<(ChunkId, Vec<DirEntry>)>,
}

impl Held {
    fn of(trees: &Trees, snapshot: &Snapshot) -> Self {
        let mut told = HashMap::new();
        for problem in &snapshot.problems {
            if let Some(before) = before_of(&problem.message) {
                let most: &mut u64 = told.entry(problem.path.clone()).or_default();
                *most = before.max(*most);
            }
        }
        Self {
            trees: trees.clone(),
            root: snapshot.root,
            files: snapshot.stats.totals.files,
            told,
            last: None,
            near: None,
        }
    }

    fn told(&self, path: &[u8]) -> u64 {
        self.told.get(path).copied().unwrap_or(0)
    }

    fn files(&mut self, path: &[u8]) -> Result<u64> {
        let at = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let (above, name) = (&path[..at], path.get(at + 1..).unwrap_or_default());
        if name.is_empty() {
            return Ok(self.files.max(self.told(path)));
        }
        let files = match self.folder(above)? {
            Some(folder) => self.files_in(folder, name)?,
            None => 0,
        };
        Ok(files.max(self.told(path)))
    }

    fn files_in(&mut self, folder: ChunkId, name: &[u8]) -> Result<u64> {
        let spans = |leaf: &[DirEntry]| match leaf {
            [first, .., last] => (&first.entry.name[..]..=&last.entry.name[..]).contains(&name),
            _ => false,
        };
        let leaf = match self.near.take().filter(|(of, leaf)| *of == folder && spans(leaf)) {
            Some((_, leaf)) => leaf,
            None => self.trees.leaf_for(&folder, name)?,
        };
        let at = leaf.binary_search_by(|found| found.entry.name[..].cmp(name));
        let files = at.map_or(0, |at| files_of(&leaf[at]));
        self.near = Some((folder, leaf));
        Ok(files)
    }

    fn folder(&mut self, path: &[u8]) -> Result<Option<ChunkId>> {
        if let Some((last, folder)) = &self.last
            && last == path
        {
            return Ok(*folder);
        }
        let folder = match path {
            b"" => Some(self.root),
            _ => self.trees.lookup(&self.root, path)?.and_then(|found| match found.entry.content {
                Content::Tree(tree) => Some(tree),
                _ => None,
            }),
        };
        self.last = Some((path.to_vec(), folder));
        Ok(folder)
    }
}
