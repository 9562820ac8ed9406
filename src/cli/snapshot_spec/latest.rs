//! Snapshots that contain a path, and the newest of them.

use std::collections::HashMap;

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::format::snapshot::Snapshot;
use crate::repo::{Reader, Trees};
use crate::text;

/// Makes trees on demand.
pub(super) type MakeTrees<'a> = dyn Fn() -> Result<Trees, Failure> + 'a;

/// How much of a path the sources of a snapshot include.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coverage {
    /// All of it: the path is a source, or is in one.
    Whole,
    /// Only sources below it: everything else below it is missing.
    Part,
    /// Nothing of it.
    Nothing,
}

/// The chosen snapshot for a path.
#[derive(Clone, Copy)]
pub(super) struct LatestMatch<'a> {
    /// The snapshot.
    pub snapshot: &'a Snapshot,
    /// Number of newer snapshots without the path.
    pub newer: usize,
    /// Number of those with a part of it.
    pub newer_parts: usize,
}

impl<'a> LatestMatch<'a> {
    /// Makes a match without skipped snapshots.
    pub(super) fn first(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, newer: 0, newer_parts: 0 }
    }
}

/// Returns how much of a path the sources of a snapshot include.
pub(super) fn coverage_of(snapshot: &Snapshot, path: &[u8]) -> Coverage {
    let wanted = parts(path);
    let sources: Vec<_> = snapshot.sources.iter().map(|source| parts(source)).collect();
    match sources.iter().any(|source| wanted.starts_with(source)) {
        true => Coverage::Whole,
        false if sources.iter().any(|source| source.starts_with(&wanted)) => Coverage::Part,
        false => Coverage::Nothing,
    }
}

fn parts(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect()
}

/// Returns the sources of a snapshot below a path.
pub(super) fn sources_in<'a>(snapshot: &'a Snapshot, path: &[u8]) -> Vec<&'a [u8]> {
    let wanted = parts(path);
    snapshot
        .sources
        .iter()
        .map(Vec::as_slice)
        .filter(|source| parts(source).starts_with(&wanted))
        .collect()
}

/// Returns the newest snapshot that includes the whole path, else the newest of all.
pub(super) fn newest_for<'a>(among: &[&'a Snapshot], path: Option<&[u8]>) -> Option<&'a Snapshot> {
    let is_whole =
        |one: &&&Snapshot| path.is_none_or(|path| coverage_of(one, path) == Coverage::Whole);
    among.iter().rev().find(is_whole).or(among.last()).copied()
}

/// Finds the newest snapshot that contains a path.
///
/// Snapshots that include the whole path take precedence over newer ones with sources below it,
/// which lack the rest. Of each host and app, only snapshots with the sources of its last one
/// count: a path that is no longer backed up, because the sources changed, has no latest version.
pub(super) fn latest_with<'a>(
    among: &[&'a Snapshot],
    path: &[u8],
    trees: &MakeTrees<'_>,
) -> Result<LatestMatch<'a>, Failure> {
    if let [one] = among {
        // The caller checks whether it contains the path.
        return Ok(LatestMatch::first(one));
    }
    let trees = trees()?;
    let coverages: Vec<Coverage> = among.iter().map(|one| coverage_of(one, path)).collect();
    let mut others = 0;
    for coverage in [Coverage::Whole, Coverage::Part] {
        let is_about = |at: usize| coverages[at] == coverage;
        let (found, skipped) = newest_among(among, &is_about, &trees, path)?;
        if let Some(at) = found {
            let newer_parts =
                if coverage == Coverage::Whole { count_parts(&coverages[at + 1..]) } else { 0 };
            return Ok(LatestMatch {
                snapshot: among[at],
                newer: among.len() - 1 - at,
                newer_parts,
            });
        }
        others += skipped;
    }
    Err(nowhere(path, others, among.len()))
}

fn count_parts(coverages: &[Coverage]) -> usize {
    coverages.iter().filter(|coverage| **coverage == Coverage::Part).count()
}

/// Returns the position of the newest snapshot that contains the path, among those for which
/// `is_about` is true, and the number of those skipped because of their sources.
fn newest_among(
    among: &[&Snapshot],
    is_about: &dyn Fn(usize) -> bool,
    trees: &Trees,
    path: &[u8],
) -> Result<(Option<usize>, u64), Failure> {
    let (mut sources, mut others, mut last) = (HashMap::new(), 0, None);
    for (at, snapshot) in among.iter().enumerate().rev().filter(|(at, _)| is_about(*at)) {
        if *sources.entry((&snapshot.host, &snapshot.app)).or_insert(&snapshot.sources)
            != &snapshot.sources
        {
            others += 1;
            continue;
        }
        // Consecutive snapshots often share a tree.
        if last == Some(snapshot.root) {
            continue;
        }
        sync_with(trees.reader(), snapshot)?;
        match trees.lookup(&snapshot.root, path) {
            Ok(None) => {}
            Ok(Some(_)) => return Ok((Some(at), others)),
            // Unknown because of damage. An older snapshot must not be chosen silently, so the
            // caller meets the damage.
            Err(error) if error.is_damage() => return Ok((Some(at), others)),
            Err(error) => return Err(error.into()),
        }
        last = Some(snapshot.root);
    }
    Ok((None, others))
}

/// Reloads the index if the snapshot is newer than the reader's listing of it.
pub(super) fn sync_with(reader: &Reader, snapshot: &Snapshot) -> Result<(), Failure> {
    if reader.locate(&snapshot.root)?.is_none() {
        reader.sync()?;
    }
    Ok(())
}

fn nowhere(path: &[u8], others: u64, all: usize) -> Failure {
    let path = text::printable(path);
    if others > 0 {
        let others = text::counted(others, "older snapshot");
        let why = format!(
            "there is no '{path}' in the snapshots of the sources that are backed up now; \
                {others} of other sources may have it"
        );
        return Failure::new(Exit::Error, why)
            .hint(format!("`drumlin history {}` looks in all", text::shell_word(&path)));
    }
    Failure::new(
        Exit::Error,
        format!("there is no '{path}' in any of {}", text::counted(all as u64, "snapshot")),
    )
    .hint(PATHS)
}

/// Finds the snapshot `back` before the newest, among those that include the whole path, or else a
/// part of it.
pub(super) fn before_latest<'a>(
    among: &[&'a Snapshot],
    path: &[u8],
    back: usize,
) -> Result<&'a Snapshot, Failure> {
    let of = |coverage| {
        among.iter().copied().filter(|one| coverage_of(one, path) == coverage).collect::<Vec<_>>()
    };
    let whole = of(Coverage::Whole);
    let about = if whole.is_empty() { of(Coverage::Part) } else { whole };
    about.len().checked_sub(back.saturating_add(1)).map(|at| about[at]).ok_or_else(|| {
        let (all, about) =
            (text::counted(among.len() as u64, "snapshot"), text::count(about.len() as u64));
        let why = format!("only {about} of {all} are about '{}'", text::printable(path));
        Failure::new(Exit::Error, why).hint(PATHS)
    })
}

/// Hint about a path that no snapshot contains.
const PATHS: &str =
    "paths are stored absolute; `drumlin find NAME` looks for a name in all folders";
