//! Sources that are symbolic links and stand for what they lead to.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::context::SourceContext;
use super::file::{Place, read, report};
use super::worker::Worker;
use crate::os::dir::Dir;
use crate::os::stat::Stat;
use crate::repo::{DirEntry, Result};

/// Describes what the path leads to.
pub fn stat_followed(path: &[u8]) -> io::Result<Stat> {
    let (dir, name) = target_of(path)?;
    match name {
        Some(name) => dir.stat(&name),
        None => dir.stat_self(),
    }
}

/// Makes the entry of the file that a link leads to, under the link's name.
pub fn read_followed(
    source: &SourceContext,
    worker: &mut Worker,
    stat: &Stat,
    place: Place,
) -> Result<Option<DirEntry>> {
    let (dir, name) = match target_of(place.path) {
        Ok((dir, name)) => (dir, name.unwrap_or_default()),
        Err(error) => return Ok(report(source.monitor, place.path, &error)),
    };
    let entry = read(source, worker, stat, Place { dir: &dir, name: &name, path: place.path })?;
    Ok(entry.map(|mut entry| {
        entry.entry.name = place.name.to_vec();
        entry
    }))
}

/// Returns the folder that the target of a path lies in, and its name there; no name for the root.
fn target_of(path: &[u8]) -> io::Result<(Dir, Option<Vec<u8>>)> {
    let target = std::fs::canonicalize(Path::new(OsStr::from_bytes(path)))?;
    let name = target.file_name().map(|name| name.as_bytes().to_vec());
    Ok((Dir::open_for_lookup(target.parent().unwrap_or(&target))?, name))
}
