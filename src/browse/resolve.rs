//! Resolution of `SNAP:PATH`.

use super::error::Error;
use crate::format::entry::Content;
use crate::format::node::Totals;
use crate::format::snapshot::Snapshot;
use crate::id::ChunkId;
use crate::repo::{DirEntry, Trees};

/// A path that exists in a snapshot.
#[derive(Clone, Debug)]
pub struct ResolvedPath {
    /// Absolute path without repeated or trailing slashes; empty for the root.
    pub path: Vec<u8>,
    /// Its entry; the root has none.
    pub entry: Option<DirEntry>,
    /// Its tree, if it is a directory.
    pub tree: Option<ChunkId>,
    /// Totals of everything below it; of itself, if it is no directory.
    pub totals: Totals,
}

/// Looks a path up in a snapshot; an empty path and `/` are the root.
///
/// Reads one path of nodes. Fails with [`Error::NoSuchPath`] if it does not exist.
pub fn find(trees: &Trees, snapshot: &Snapshot, path: &[u8]) -> Result<ResolvedPath, Error> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    let path: Vec<u8> = parts.flat_map(|part| [b"/", part].concat()).collect();
    if path.is_empty() {
        return Ok(ResolvedPath {
            path,
            entry: None,
            tree: Some(snapshot.root),
            totals: snapshot.stats.totals,
        });
    }
    let Some(found) = trees.lookup(&snapshot.root, &path)? else {
        let path = String::from_utf8_lossy(&path).into_owned();
        return Err(Error::NoSuchPath { path, snapshot: snapshot.id.short() });
    };
    let tree = match found.entry.content {
        Content::Tree(id) => Some(id),
        _ => None,
    };
    let totals = found.content_totals();
    Ok(ResolvedPath { path, entry: Some(found), tree, totals })
}
