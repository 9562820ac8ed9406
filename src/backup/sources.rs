//! The sources that the user named, as one tree: folders on the way are visited only for what was asked for.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::options::Error;
use crate::os::dir::Dir;
use crate::repo::DirEntry;

/// One place in the tree of sources.
pub enum SourceNode {
    /// Everything below (or the file itself) was asked for.
    Whole,
    /// Only some names below were asked for.
    Way(BTreeMap<Vec<u8>, SourceNode>),
    /// A file that was made from a stream.
    Made(Box<DirEntry>),
}

impl SourceNode {
    /// Returns the tree of nothing.
    pub fn empty() -> Self {
        Self::Way(BTreeMap::new())
    }

    /// Adds what stands at an absolute path; what was already asked for whole stays whole.
    pub fn insert(&mut self, path: &[u8], node: SourceNode) {
        let mut at = self;
        for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            let SourceNode::Way(children) = at else {
                return;
            };
            at = children.entry(part.to_vec()).or_insert_with(SourceNode::empty);
        }
        if !matches!(at, SourceNode::Whole) {
            *at = node;
        }
    }
}

impl SourceNode {
    /// Returns whether a file at this path would lie in a source, in the place of one, or above one.
    pub fn is_taken(&self, parts: &[&[u8]]) -> bool {
        match (self, parts) {
            (Self::Whole | Self::Made(_), _) | (Self::Way(_), []) => true,
            (Self::Way(children), [first, rest @ ..]) => children.get(*first).is_some_and(|child| child.is_taken(rest)),
        }
    }
}

/// Returns the absolute paths of the sources, sorted, without `.` and `..`; every one of them must exist.
pub fn absolute_paths(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, Error> {
    let mut found = Vec::new();
    for path in paths {
        let failed = |source| Error::Source { path: path.display().to_string(), source };
        let absolute = std::path::absolute(path).map_err(failed)?;
        let clean = without_parents(&absolute);
        std::fs::symlink_metadata(&clean).map_err(failed)?;
        found.push(clean.into_os_string().as_encoded_bytes().to_vec());
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Resolves `..` through the file system, so that `link/..` means what the kernel says.
fn without_parents(path: &Path) -> PathBuf {
    if !path.components().any(|part| part == Component::ParentDir) {
        return path.components().collect();
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => std::fs::canonicalize(parent).unwrap_or_else(|_| parent.to_owned()).join(name),
        _ => std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
    }
}

/// Opens a folder on the way to a source.
pub fn open_way(path: &[u8]) -> std::io::Result<Dir> {
    let path = if path.is_empty() { b"/" } else { path };
    Dir::open_for_lookup(Path::new(OsStr::from_bytes(path)))
}
