//! Entering a folder: opening it, describing it, listing its names.

use std::collections::BTreeMap;
use std::path::Path;

use super::describe::{describe, is_unchanged, is_way_unchanged, xattrs_or_problem};
use super::file::{Worker, report};
use super::folder::{Folder, Found, NewFolder, Walk};
use super::gather::{Done, is_equal_but_for_content};
use super::sources::{SourceNode, open_way};
use crate::format::entry::{Content, EntryKind};
use crate::monitor::ProblemKind;
use crate::os::attributes::{read_xattrs, read_xattrs_of};
use crate::os::dir::{Dir, Names};
use crate::os::stat::Stat;
use crate::repo::{DirEntry, Result};

/// Opens a folder and looks at its names.
pub fn enter(new: NewFolder, walk: &Walk, worker: &mut Worker) -> Result<()> {
    let path = new.above.as_ref().map_or(Vec::new(), |(above, _)| above.path_of(&new.name));
    walk.context.monitor.working_on(&path);
    let opened = match (&new.way, new.above.as_ref().and_then(|(above, _)| above.dir())) {
        (None, Some(above)) => above.open_dir(&new.name),
        (None, None) => Dir::open(Path::new("/")),
        (Some(_), _) => open_way(&path),
    };
    let opened = opened.and_then(|dir| Ok((dir.stat_self()?, Some(dir))));
    let (stat, dir) = match opened {
        Ok(found) => found,
        Err(error) => {
            let _ = report(walk.context, &path, &error);
            match stat_unopened(&new, &error) {
                Some(stat) => (stat, None),
                None => return skip(new, walk, worker),
            }
        }
    };
    let above = new.above.as_ref().map(|(above, _)| above.clone());
    let found = look_at(&new, walk, path, (stat, dir));
    let folder = Folder::new(walk, new, found);
    above.iter().for_each(|above| above.release_dir());
    folder.scan(walk, worker)
}

/// An unreadable folder is recorded as an empty one; one that went away is not.
fn stat_unopened(new: &NewFolder, error: &std::io::Error) -> Option<Stat> {
    if error.kind() == std::io::ErrorKind::NotFound {
        return None;
    }
    let above = new.above.as_ref()?.0.dir()?;
    above.stat(&new.name).ok().filter(|stat| stat.kind == EntryKind::Dir)
}

fn skip(new: NewFolder, walk: &Walk, worker: &mut Worker) -> Result<()> {
    let Some((above, slot)) = new.above else {
        return Ok(());
    };
    above.release_dir();
    above.fill(walk, worker, slot, Done::Skipped { gap: true })
}

fn look_at(new: &NewFolder, walk: &Walk, path: Vec<u8>, (stat, mut dir): (Stat, Option<Dir>)) -> Found {
    let excludes = &walk.context.excludes;
    let own = own_entry(new, walk, &path, (&stat, dir.as_ref()));
    let above = new.above.as_ref().map(|(above, _)| above);
    let device_above = above.filter(|_| !new.is_source).and_then(|above| above.device());
    if let Some(reason) = dir.as_ref().and_then(|dir| excludes.stops_at(dir, &stat, device_above)) {
        walk.context.monitor.problem(ProblemKind::Notice, &path, reason);
        dir = None;
    }
    let device = new.way.is_none().then_some(stat.dev);
    let (mut chain, mut marker) = (None, None);
    let names = match (&new.way, &dir) {
        (Some(way), _) => names_of(way),
        (None, None) => Names::default(),
        (None, Some(dir)) => {
            let names = dir.names().unwrap_or_else(|error| {
                let _ = report(walk.context, &path, &error);
                Names::default()
            });
            chain = excludes.chain_for(dir, &path, &names, above.and_then(|above| above.chain()));
            marker = excludes.marker_of(dir, &names).map(<[u8]>::to_vec);
            names
        }
    };
    Found { path, own, dir, device, chain, marker, names }
}

/// Returns the folder's own entry without content, the parent's where nothing about the folder itself changed.
fn own_entry(new: &NewFolder, walk: &Walk, path: &[u8], (stat, dir): (&Stat, Option<&Dir>)) -> DirEntry {
    let is_way = new.way.is_some();
    if let Some(before) = &new.before
        && (is_unchanged(walk.context, &before.entry, stat) || is_way && is_way_unchanged(&before.entry, stat))
    {
        return before.clone();
    }
    let xattrs = match (dir, new.above.as_ref().and_then(|(above, _)| above.dir())) {
        (Some(dir), _) if !is_way => read_xattrs_of(dir),
        (_, Some(above)) => read_xattrs(&*above, &new.name, EntryKind::Dir),
        _ => Ok(Vec::new()),
    };
    let xattrs = xattrs_or_problem(walk.context, path, xattrs);
    let described = describe(walk.context, &new.name, stat, Content::None, xattrs);
    match &new.before {
        // Looked at again only because its stamps could not be trusted.
        Some(before) if is_equal_but_for_content(before, &described) => before.clone(),
        _ => described,
    }
}

fn names_of(way: &BTreeMap<Vec<u8>, SourceNode>) -> Names {
    let mut names = Names::default();
    way.keys().for_each(|name| names.push(name, rustix::fs::FileType::Unknown));
    names
}
