//! Sources that are symbolic links to follow.

use std::io;

use super::context::SourceContext;
use super::file::{NameInDir, read, report};
use super::source_root::{FollowedPath, SourceRoot};
use super::worker::Worker;
use crate::os::stat::Stat;
use crate::repo::{DirEntry, Result};

/// Returns the metadata of the target of a path.
pub(super) fn stat_followed(root: &SourceRoot, path: &[u8]) -> io::Result<Stat> {
    let FollowedPath { dir, name } = root.follow(path)?;
    match name {
        Some(name) => dir.stat(&name),
        None => dir.stat_self(),
    }
}

/// Reads the target of a link, and gives the entry the link's name.
pub(super) fn read_followed(
    source: &SourceContext,
    worker: &mut Worker,
    stat: &Stat,
    at: NameInDir,
) -> Result<Option<DirEntry>> {
    let (dir, name) = match source.root.follow(at.path) {
        Ok(FollowedPath { dir, name }) => (dir, name.unwrap_or_default()),
        Err(error) => return Ok(report(source.monitor, at.path, &error)),
    };
    let entry = read(source, worker, stat, NameInDir { dir: &dir, name: &name, path: at.path })?;
    Ok(entry.map(|mut entry| {
        entry.entry.name = at.name.to_vec();
        entry
    }))
}
