//! Start of a walk: all sources in one tree, below the directory `/`.
//!
//! Dumps are stored here, before the walk, since they are in no directory that could be read.

use super::context::Contexts;
use super::describe;
use super::dump::DumpSource;
use super::dump_writer::{self, DumpWriter};
use super::inspected::{DirectoryScope, ParentState};
use super::losses::Losses;
use super::options::{BackupOptions, Error};
use super::source_root::SourceRoot;
use super::sources::{self, SourceNode, SourcePath};
use super::task::NewDirectory;
use crate::chunker::Cutting;
use crate::format::entry::Content;
use crate::format::snapshot::Snapshot;

/// The sources of one attempt.
pub(super) struct Sources {
    /// Paths of all, dumps included, sorted.
    pub all: Vec<Vec<u8>>,
    /// Paths on the host, sorted.
    pub paths: Vec<Vec<u8>>,
    /// The sources that can be read.
    pub readable: Vec<SourcePath>,
    /// Outcome and file count of each.
    pub losses: Losses,
}

impl Sources {
    /// Collects the sources of the options. Fails if there is none, or if none can be read.
    pub(super) fn of(
        root: &SourceRoot,
        options: &BackupOptions,
        dumps: &[DumpSource],
    ) -> Result<Self, Error> {
        let paths = sources::absolute(root, &options.paths, options.follow_sources)?;
        if paths.is_empty() && dumps.is_empty() {
            return Err(Error::NoSource);
        }
        // A source that is missing today still belongs to the series.
        let absolute: Vec<Vec<u8>> = paths.iter().map(|source| source.path.clone()).collect();
        let losses = Losses::of(&absolute);
        let readable = sources::readable(root, &paths, !dumps.is_empty(), &losses)?;
        let all = with_dumps(&absolute, dumps);
        Ok(Self { all, paths: absolute, readable, losses })
    }
}

/// Directory of an app's dumps in the snapshot.
///
/// It is one source: that a database came or went makes no other series of snapshots.
const APP_DIR: &[u8] = b"/@app";

/// Returns the paths of all sources, sorted: those of the host, and those of dumps that no path of
/// the host holds.
fn with_dumps(paths: &[Vec<u8>], dumps: &[DumpSource]) -> Vec<Vec<u8>> {
    let is_below = |path: &[u8], above: &[u8]| {
        let rest = path.strip_prefix(above.strip_suffix(b"/").unwrap_or(above));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    let mut all = paths.to_vec();
    for dump in dumps {
        if is_below(&dump.path, APP_DIR) {
            all.push(APP_DIR.to_vec());
        } else if dump.original.is_none() || !paths.iter().any(|path| is_below(&dump.path, path)) {
            all.push(dump.path.clone());
        }
    }
    all.sort();
    all.dedup();
    all
}

/// Puts all sources into one tree, and stores the dumps among them.
pub(super) fn source_tree(
    contexts: Contexts,
    cutting: Cutting,
    paths: &[SourcePath],
    dumps: Vec<DumpSource>,
) -> Result<SourceNode, Error> {
    let mut tree = SourceNode::empty();
    paths.iter().for_each(|path| tree.insert(path));
    dump_writer::check_paths(&dumps, &tree)?;
    let mut writer = DumpWriter::new(contexts, cutting);
    for dump in dumps {
        writer.store(dump, &mut tree)?;
    }
    Ok(tree)
}

/// Returns the first directory of the walk: `/`, with the parent's root.
pub(super) fn root_directory(
    contexts: Contexts,
    tree: SourceNode,
    parent: Option<&Snapshot>,
) -> Result<NewDirectory, Error> {
    let failed = |source| Error::Source { path: "/".to_owned(), source };
    let opened = contexts.source.root.open_ancestor(b"/");
    let stat = opened.and_then(|dir| dir.stat_self()).map_err(failed)?;
    let parent_state = parent.map_or(ParentState::Unknown, |parent| {
        let content = Content::Tree(parent.root);
        let mut entry = describe::describe(contexts, b"", &stat, content, Vec::new());
        entry.totals = Some(parent.stats.totals);
        ParentState::Entry(Box::new(entry))
    });
    let (only_named, named) = match tree {
        SourceNode::Partial(named) => (true, named),
        SourceNode::Whole { named, .. } => (false, named),
        SourceNode::Made(_) | SourceNode::LeftOut => unreachable!("a dump has a name"),
    };
    let scope =
        DirectoryScope { only_named, named, is_source: !only_named, ..DirectoryScope::default() };
    Ok(NewDirectory {
        above: None,
        name: Vec::new(),
        scope,
        parent_state,
        seen: None,
        deleted_before: false,
        is_same: true,
    })
}
