//! Sources that are symbolic links to follow.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::context::SourceContext;
use super::file::{NameInDir, read, report};
use super::worker::Worker;
use crate::os::dir::Dir;
use crate::os::stat::Stat;
use crate::repo::{DirEntry, Result};

/// Returns the metadata of the target of a path.
pub(super) fn stat_followed(path: &[u8]) -> io::Result<Stat> {
    let (dir, name) = target_of(path)?;
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
    let (dir, name) = match target_of(at.path) {
        Ok((dir, name)) => (dir, name.unwrap_or_default()),
        Err(error) => return Ok(report(source.monitor, at.path, &error)),
    };
    let entry = read(source, worker, stat, NameInDir { dir: &dir, name: &name, path: at.path })?;
    Ok(entry.map(|mut entry| {
        entry.entry.name = at.name.to_vec();
        entry
    }))
}

/// Returns the directory of a path's target and the target's name in it; no name for the root.
fn target_of(path: &[u8]) -> io::Result<(Dir, Option<Vec<u8>>)> {
    let target = std::fs::canonicalize(Path::new(OsStr::from_bytes(path)))?;
    let name = target.file_name().map(|name| name.as_bytes().to_vec());
    Ok((Dir::open_for_lookup(target.parent().unwrap_or(&target))?, name))
}
