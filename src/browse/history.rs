//! History of one path: its versions in many snapshots.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::changes::{DifferenceResult, Differences, tree_of};
use super::fields::{EntryField, EntryFields};
use super::resolve::ResolvedPath;
use crate::format::node::{Totals, TreeNode};
use crate::format::snapshot::Snapshot;
use crate::id::ChunkId;
use crate::monitor::Monitor;
use crate::repo::read::node_ref::Promised;
use crate::repo::read::trees::leaf_entries;
use crate::repo::{DirEntry, Error, Result, Trees};

/// The versions of a path in the snapshots of one host and app.
#[derive(Clone, Debug)]
pub struct PathSeries {
    /// Name of the host.
    pub host: String,
    /// Name of the app, empty for none.
    pub app: String,
    /// The versions, oldest first; in at least one of them the path exists.
    pub versions: Vec<Version>,
}

/// A version of a path, in consecutive snapshots.
#[derive(Clone, Debug)]
pub struct Version {
    /// How it differs from the version before.
    pub step: VersionStep,
    /// The fields that differ, if the path exists in both.
    pub fields: EntryFields,
    /// The entry; `None` if the path did not exist.
    pub found: Option<Arc<DirEntry>>,
    /// The first snapshot with this version, as a position in the given list.
    pub first: usize,
    /// The last snapshot with this version.
    pub last: usize,
    /// Number of snapshots with this version.
    pub snapshots: u64,
}

/// How a version differs from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionStep {
    /// The path did not exist before.
    Appeared,
    /// The content changed; of a directory, something below it.
    Modified,
    /// Only metadata changed.
    Metadata,
    /// The kind changed.
    Type,
    /// The path no longer exists.
    Vanished,
}

/// The history of a path, and the snapshots where it is unknown.
#[derive(Debug, Default)]
pub struct History {
    /// The series in which the path ever existed, in the order of host and app.
    pub series: Vec<PathSeries>,
    /// Snapshots (as positions) in which a directory above the path is damaged. They are ignored.
    pub unread: Vec<(usize, Error)>,
    /// Snapshots whose version cannot be compared with the one before, because one of the two is
    /// damaged. That counts as a change.
    pub uncompared: Vec<(usize, Error)>,
}

/// Looks a path up in snapshots, which must be sorted oldest first.
///
/// A snapshot whose sources do not include the path says nothing about it, unless no snapshot of
/// that host and app includes the whole path. Each node on the way is read once, however many
/// snapshots share it; memory is about 100 bytes per node. Fails with [`Error::Cancelled`], and if
/// the repository cannot be read for another reason than damage.
pub fn history(
    trees: &Trees,
    snapshots: &[Snapshot],
    path: &[u8],
    monitor: &Monitor,
) -> Result<History> {
    let parts: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    let mut lookup = Lookup { trees, parts, known: HashMap::new() };
    let mut history = History::default();
    let mut series: Vec<PathSeries> = Vec::new();
    let series_of = |snapshot: &Snapshot| (snapshot.host.clone(), snapshot.app.clone());
    let of_all: HashSet<_> =
        snapshots.iter().filter(|one| covers(one, &lookup.parts)).map(series_of).collect();
    for (at, snapshot) in snapshots.iter().enumerate() {
        if monitor.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let is_covered = covers(snapshot, &lookup.parts);
        if !is_covered && of_all.contains(&series_of(snapshot)) {
            continue;
        }
        let found = match lookup.find(&snapshot.root) {
            Ok(found) => found,
            Err(error) if error.is_damage() => {
                history.unread.push((at, error));
                continue;
            }
            Err(error) => return Err(error),
        };
        if found.is_none() && !is_covered {
            continue;
        }
        let is_its = |one: &&mut PathSeries| one.host == snapshot.host && one.app == snapshot.app;
        match series.iter_mut().find(is_its) {
            Some(own) => history
                .uncompared
                .extend(own.add(trees, at, found, monitor)?.map(|error| (at, error))),
            None => {
                let mut own = PathSeries {
                    host: snapshot.host.clone(),
                    app: snapshot.app.clone(),
                    versions: Vec::new(),
                };
                history
                    .uncompared
                    .extend(own.add(trees, at, found, monitor)?.map(|error| (at, error)));
                series.push(own);
            }
        }
    }
    series.retain(|one| !one.versions.is_empty());
    series.sort_by(|a, b| (&a.host, &a.app).cmp(&(&b.host, &b.app)));
    history.series = series;
    Ok(history)
}

/// Returns whether a source of the snapshot is the path or a parent of it.
fn covers(snapshot: &Snapshot, path: &[&[u8]]) -> bool {
    let holds = |source: &Vec<u8>| {
        let parts: Vec<&[u8]> =
            source.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
        path.starts_with(&parts)
    };
    snapshot.sources.iter().any(holds)
}

impl PathSeries {
    /// Adds the entry of the snapshot at a position; returns damage that was met in the comparison.
    fn add(
        &mut self,
        trees: &Trees,
        at: usize,
        found: Option<Arc<DirEntry>>,
        monitor: &Monitor,
    ) -> Result<Option<Error>> {
        let mut damage = None;
        let (step, fields) = match (self.versions.last(), &found) {
            (None, None) => return Ok(None),
            (None | Some(Version { found: None, .. }), Some(_)) => {
                (Some(VersionStep::Appeared), EntryFields::default())
            }
            (Some(Version { found: Some(_), .. }), None) => {
                (Some(VersionStep::Vanished), EntryFields::default())
            }
            (Some(Version { found: None, .. }), None) => (None, EntryFields::default()),
            (Some(Version { found: Some(before), .. }), Some(after)) => {
                let fields;
                (fields, damage) = differing(trees, before, after, monitor)?;
                (step_of(fields), fields)
            }
        };
        match (step, self.versions.last_mut()) {
            (None, Some(last)) => {
                last.last = at;
                last.snapshots += 1;
            }
            (step, _) => {
                let step = step.unwrap_or(VersionStep::Appeared);
                self.versions.push(Version {
                    step,
                    fields,
                    found,
                    first: at,
                    last: at,
                    snapshots: 1,
                });
            }
        }
        Ok(damage)
    }
}

/// Returns the fields in which two versions differ. The content of directories differs if
/// [`super::Diff`] would yield more below them than times of directories.
///
/// Damage counts as a difference and is returned, too.
fn differing(
    trees: &Trees,
    before: &Arc<DirEntry>,
    after: &Arc<DirEntry>,
    monitor: &Monitor,
) -> Result<(EntryFields, Option<Error>)> {
    if Arc::ptr_eq(before, after) {
        return Ok((EntryFields::default(), None));
    }
    let fields = EntryFields::between(before, after);
    let (Some(before), Some(after)) = (tree_of(before), tree_of(after)) else {
        return Ok((fields, None));
    };
    let place = |tree| ResolvedPath {
        path: Vec::new(),
        entry: None,
        tree: Some(tree),
        totals: Totals::default(),
    };
    let is_told = |step: &DifferenceResult| {
        !step.as_ref().is_ok_and(|below| below.fields.is_time_of_dir(below.right.as_ref()))
    };
    let differs =
        || Differences::new(trees, [&place(before), &place(after)], monitor).find(is_told);
    match if before == after { None } else { differs() } {
        None => Ok((fields, None)),
        Some(Ok(_)) => Ok((fields.with(EntryField::Content), None)),
        Some(Err((_, error))) if error.is_damage() => {
            Ok((fields.with(EntryField::Content), Some(error)))
        }
        Some(Err((_, error))) => Err(error),
    }
}

fn step_of(fields: EntryFields) -> Option<VersionStep> {
    match fields {
        fields if fields.is_empty() => None,
        fields if fields.has(EntryField::Kind) => Some(VersionStep::Type),
        fields if fields.has(EntryField::Content) => Some(VersionStep::Modified),
        _ => Some(VersionStep::Metadata),
    }
}

/// Result of looking up a part of the path in a node.
#[derive(Clone)]
enum PartLookup {
    Nothing,
    Dir(ChunkId),
    Entry(Arc<DirEntry>),
}

/// Lookup of one path in many trees.
struct Lookup<'a> {
    trees: &'a Trees,
    parts: Vec<&'a [u8]>,
    /// Results by node and by position of the part.
    known: HashMap<(ChunkId, usize), PartLookup>,
}

impl Lookup<'_> {
    fn find(&mut self, root: &ChunkId) -> Result<Option<Arc<DirEntry>>> {
        let mut dir = *root;
        for part in 0..self.parts.len() {
            match self.step(dir, part)? {
                PartLookup::Nothing => return Ok(None),
                PartLookup::Dir(below) => dir = below,
                PartLookup::Entry(found) => return Ok(Some(found)),
            }
        }
        Ok(None)
    }

    /// Looks one name up in a directory, from its top node to a leaf or to a cached result.
    fn step(&mut self, dir: ChunkId, part: usize) -> Result<PartLookup> {
        let name = self.parts[part];
        let (mut promised, mut way) = (Promised::top(dir), Vec::new());
        // Each step descends a level, so the loop ends.
        let known = loop {
            if let Some(known) = self.known.get(&(promised.id, part)) {
                break known.clone();
            }
            way.push(promised.id);
            let node = self.trees.node(&promised.id)?;
            promised.check(&node)?;
            match node {
                TreeNode::Inner { level, children } => match promised.child(level, &children, name)
                {
                    Some(child) => promised = child,
                    None => break PartLookup::Nothing,
                },
                leaf => break self.in_leaf(leaf, part),
            }
        };
        for node in way {
            self.known.insert((node, part), known.clone());
        }
        Ok(known)
    }

    fn in_leaf(&self, leaf: TreeNode, part: usize) -> PartLookup {
        let Some(found) =
            leaf_entries(leaf).into_iter().find(|found| found.entry.name == self.parts[part])
        else {
            return PartLookup::Nothing;
        };
        match tree_of(&found) {
            _ if part + 1 == self.parts.len() => PartLookup::Entry(Arc::new(found)),
            Some(tree) => PartLookup::Dir(tree),
            None => PartLookup::Nothing,
        }
    }
}

/// Returns the length of an entry in bytes: for a directory, of all files below it.
pub fn len_bytes(found: &DirEntry) -> u64 {
    found.content_totals().bytes
}
