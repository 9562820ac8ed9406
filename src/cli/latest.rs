//! Snapshots that contain a path, and the newest of them.

use std::collections::HashMap;

use super::failure::{Exit, Failure};
use crate::format::snapshot::Snapshot;
use crate::repo::{Reader, Trees};
use crate::text;

/// What makes trees, if they are needed.
pub type MakeTrees<'a> = dyn Fn() -> Result<Trees, Failure> + 'a;

/// What of a path a snapshot was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// All of it: the path is a source, or is in one.
    Whole,
    /// Only sources in it, so that everything else in it is missing.
    Part,
    /// None of it.
    Nothing,
}

/// A snapshot that was found for a path.
#[derive(Clone, Copy)]
pub struct LatestMatch<'a> {
    /// The snapshot.
    pub snapshot: &'a Snapshot,
    /// How many newer ones do not hold the path.
    pub newer: usize,
    /// How many of these hold a part of it.
    pub newer_parts: usize,
}

impl<'a> LatestMatch<'a> {
    /// No newer one was passed over.
    pub fn first(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, newer: 0, newer_parts: 0 }
    }
}

/// Returns what of a path a snapshot was made of.
pub fn coverage_of(snapshot: &Snapshot, path: &[u8]) -> Coverage {
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

/// Returns the sources of a snapshot that lie in a path.
pub fn sources_in<'a>(snapshot: &'a Snapshot, path: &[u8]) -> Vec<&'a [u8]> {
    let wanted = parts(path);
    snapshot
        .sources
        .iter()
        .map(Vec::as_slice)
        .filter(|source| parts(source).starts_with(&wanted))
        .collect()
}

/// Returns the newest that was made of the whole path, else the newest of all.
pub fn newest_for<'a>(among: &[&'a Snapshot], path: Option<&[u8]>) -> Option<&'a Snapshot> {
    let is_whole =
        |one: &&&Snapshot| path.is_none_or(|path| coverage_of(one, path) == Coverage::Whole);
    among.iter().rev().find(is_whole).or(among.last()).copied()
}

/// Finds the newest snapshot that holds a path.
///
/// One that was made of the whole path goes before those of sources that lie in it, however new
/// these are: they lack the rest. Of each host and app only those snapshots count whose sources are
/// those of its last one about the path: what is not backed up any more, because the sources are
/// others now, is not the latest of anything.
pub fn latest_with<'a>(
    among: &[&'a Snapshot],
    path: &[u8],
    trees: &MakeTrees<'_>,
) -> Result<LatestMatch<'a>, Failure> {
    if let [one] = among {
        // The caller finds out whether it is there.
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

/// Returns the position of the newest of those that are about the path that holds it, and how many
/// were passed over for their sources.
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
        // Neighbours often have one tree.
        if last == Some(snapshot.root) {
            continue;
        }
        sync_with(trees.reader(), snapshot)?;
        match trees.lookup(&snapshot.root, path) {
            Ok(None) => {}
            Ok(Some(_)) => return Ok((Some(at), others)),
            // Nobody can tell. An older one must not be taken for it in silence, so the caller that
            // reads it finds the damage.
            Err(error) if error.is_damage() => return Ok((Some(at), others)),
            Err(error) => return Err(error.into()),
        }
        last = Some(snapshot.root);
    }
    Ok((None, others))
}

/// Makes sure that a reader finds a snapshot: the index may have been listed before the snapshot
/// was made.
pub fn sync_with(reader: &Reader, snapshot: &Snapshot) -> Result<(), Failure> {
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

/// Finds the snapshot that is so many before the newest, among those that were made of the whole
/// path, or of a part if there are no such: others say nothing about it.
pub fn before_latest<'a>(
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

/// The hint about paths that are nowhere.
const PATHS: &str =
    "paths are stored absolute; `drumlin find NAME` looks for a name in all folders";
