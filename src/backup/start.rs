//! The start of a walk: all sources in one tree, and the folder `/` that holds them.
//!
//! The streams among them are stored here, before the walk: it reads names from folders, and a
//! stream lies in none.

use super::context::Contexts;
use super::describe;
use super::found::{Scope, Was};
use super::losses::Losses;
use super::options::{BackupOptions, Error, StreamSource};
use super::sources::{self, Source, SourceNode};
use super::stream;
use super::task::NewFolder;
use crate::format::config::Profile;
use crate::format::entry::Content;
use crate::format::snapshot::Snapshot;

/// What is backed up.
pub struct Sources {
    /// The names of all, sorted.
    pub named: Vec<Vec<u8>>,
    /// Those of files and folders of the host, sorted.
    pub all: Vec<Vec<u8>>,
    /// Those that can be read.
    pub readable: Vec<Source>,
    /// What became of the files of each.
    pub losses: Losses,
}

impl Sources {
    /// Finds out what is backed up.
    pub fn of(options: &BackupOptions, streams: &[StreamSource]) -> Result<Self, Error> {
        let paths = sources::absolute(&options.paths, options.follow_sources)?;
        if paths.is_empty() && streams.is_empty() {
            return Err(Error::NoSource);
        }
        // One that is missing today still belongs to the series.
        let all: Vec<Vec<u8>> = paths.iter().map(|source| source.path.clone()).collect();
        let losses = Losses::of(&all);
        let readable = sources::readable(&paths, !streams.is_empty(), &losses)?;
        Ok(Self { named: names_of(&all, streams), all, readable, losses })
    }
}

/// Returns the paths of all sources, sorted.
fn names_of(paths: &[Vec<u8>], streams: &[StreamSource]) -> Vec<Vec<u8>> {
    let mut named = paths.to_vec();
    named.extend(streams.iter().map(|stream| stream.path.clone()));
    named.sort();
    named.dedup();
    named
}

/// Puts all sources into one tree, and stores the streams among them.
pub fn way_to(
    contexts: Contexts,
    profile: Profile,
    paths: &[Source],
    streams: Vec<StreamSource>,
) -> Result<SourceNode, Error> {
    let mut way = SourceNode::empty();
    paths.iter().for_each(|path| way.insert(path));
    stream::check_places(&streams, &way)?;
    for source in streams {
        stream::store(contexts, profile, source, &mut way)?;
    }
    Ok(way)
}

/// Makes the walk's beginning: the folder `/`, with the parent's root as what it was before.
pub fn root_folder(
    contexts: Contexts,
    way: SourceNode,
    parent: Option<&Snapshot>,
) -> Result<NewFolder, Error> {
    let failed = |source| Error::Source { path: "/".to_owned(), source };
    let stat = sources::open_way(b"/").and_then(|dir| dir.stat_self()).map_err(failed)?;
    let was = parent.map_or(Was::Unknown, |parent| {
        let content = Content::Tree(parent.root);
        let mut entry = describe::describe(contexts, b"", &stat, content, Vec::new());
        entry.totals = Some(parent.stats.totals);
        Was::Entry(Box::new(entry))
    });
    let (only_named, named) = match way {
        SourceNode::Way(named) => (true, named),
        SourceNode::Whole { named, .. } => (false, named),
        SourceNode::Made(_) => unreachable!("a stream has a name"),
    };
    let scope = Scope { only_named, named, is_source: !only_named, ..Scope::default() };
    Ok(NewFolder {
        above: None,
        name: Vec::new(),
        scope,
        was,
        seen: None,
        gap: false,
        is_same: true,
    })
}
