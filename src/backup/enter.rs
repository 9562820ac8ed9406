//! Entering a folder: opening it, describing it, listing its names.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::context::{Context, Counts};
use super::describe::{describe, is_unchanged, is_way_unchanged, stat_size, xattrs_or_problem};
use super::file::report;
use super::folder::{KNOWN_NAMES_MAX, finished, path_below};
use super::found::{Covered, CoveredChild, Found, Identity, Was};
use super::gather::{Done, is_equal_but_for_content};
use super::path;
use super::sources::{Named, SourceNode, open_way};
use super::stamps::trust_before;
use super::task::{Folder, NewFolder, Walk};
use super::trust::{Trust, is_unmoved};
use super::worker::Worker;
use crate::format::entry::{Content, EntryKind};
use crate::monitor::ProblemKind;
use crate::os::attributes::{read_xattrs, read_xattrs_of};
use crate::os::dir::{Dir, DirNames};
use crate::os::process::own_ids;
use crate::os::stat::Stat;
use crate::repo::{DirEntry, Result};

/// Opens a folder and looks at its names.
pub fn enter(mut new: NewFolder, walk: &Walk, worker: &mut Worker) -> Result<()> {
    let path =
        new.above.as_ref().map_or(Vec::new(), |(above, _)| path_below(above, &new.name, worker));
    walk.context.monitor.working_on(&path);
    let opened = open(&mut new, walk, &path);
    let stat = |dir: &Dir| match &new.was {
        Was::Covered(_, stat) => Ok(*stat),
        _ => dir.stat_self(),
    };
    let opened = opened.and_then(|dir| Ok((stat(&dir)?, Some(dir))));
    let (stat, dir) = match opened {
        Ok(found) => found,
        Err(error) => {
            let (files, streams) =
                if new.scope.only_named { below(&new.scope.named) } else { (true, false) };
            let stood_in =
                stat_unopened(&new, &error).or_else(|| streams.then(|| made_folder(walk.context)));
            if new.scope.is_source && stood_in.is_none() {
                walk.context.losses.unread(&path, error);
            } else if files && (new.scope.only_named || new.scope.is_source) {
                // What was asked for by name and is not there is no file that went away by chance.
                walk.context.monitor.source_problem(
                    ProblemKind::Unreadable,
                    &path,
                    error.to_string(),
                );
            } else if files {
                let _ = report(walk.context, &path, &error);
            }
            match stood_in {
                Some(stat) => (stat, None),
                None => return skip(new, walk, worker),
            }
        }
    };
    let above = new.above.as_ref().map(|(above, _)| above.clone());
    let found = look_at(&new, walk, path, stat, dir);
    let covered = cover(&new, walk, worker, &found);
    above.iter().for_each(|above| above.release_dir());
    if let (Some(covered), Some((above, slot))) = (&covered, &new.above)
        && covered.subfolders.is_empty()
    {
        let (known, is_before) = (covered.known, !new.gap);
        walk.context.known.add_again(&known);
        if new.scope.is_source {
            walk.context.losses.had(&found.path, known.totals.files);
            walk.context.losses.stored(&found.path, known.totals.files);
        }
        walk.context.monitor.dirs_done.fetch_add(1, Ordering::Relaxed);
        return above.clone().fill(
            walk,
            worker,
            *slot,
            finished(found.own, is_before, known.tree, known.totals),
        );
    }
    let folder = Folder::new(walk, new, found, covered.as_ref());
    match covered {
        Some(covered) => folder.scan_covered(walk, worker, covered),
        None => folder.scan(walk, worker),
    }
}

/// Opens a folder; one that cannot be listed may still lead to what was asked for below it.
fn open(new: &mut NewFolder, walk: &Walk, path: &[u8]) -> std::io::Result<Dir> {
    if new.scope.only_named {
        return open_way(path);
    }
    let opened = match new.above.as_ref().and_then(|(above, _)| above.dir()) {
        Some(above) if !new.scope.follows => {
            let opened =
                walk.context.listings.insist(&above, &new.name, || above.open_dir(&new.name));
            opened.map_err(|error| walk.context.listings.judge_folder(&above, new.seen, error))
        }
        Some(_) => Dir::open(Path::new(OsStr::from_bytes(path))),
        None => Dir::open(Path::new("/")),
    };
    match opened {
        Err(error) if !new.scope.named.is_empty() => {
            let _ = report(walk.context, path, &error);
            new.scope.only_named = true;
            open_way(path)
        }
        opened => opened,
    }
}

/// Finds out whether all names of a folder, and all that `stat` says about them, are as remembered.
fn cover(new: &NewFolder, walk: &Walk, worker: &mut Worker, found: &Found) -> Option<Covered> {
    let (context, dir) = (walk.context, found.dir.as_ref()?);
    if new.scope.only_named
        || !new.scope.named.is_empty()
        || found.marker.is_some()
        || found.names.len() > KNOWN_NAMES_MAX
    {
        return None;
    }
    let known = found.identity.known?;
    if known.print.is_none()
        || new.was.tree() != Some((known.tree, known.totals))
        || context.doubts.is_in(&found.path)
    {
        return None;
    }
    let printer = worker
        .printer
        .get_or_insert_with(|| context.known.printer(trust_before(context.started), None));
    printer.reset();
    let (mut subfolders, mut files, mut bytes) = (Vec::new(), 0, 0);
    let has_rules = context.excludes.has_rules(found.chain.as_deref());
    let reads_some = context.excludes.reads_some_always();
    for name in found.names.iter() {
        let stat = dir.stat(name).ok()?;
        let is_dir = stat.kind == EntryKind::Dir;
        if has_rules || reads_some {
            let path = path::join(&found.path, name);
            if has_rules
                && context.excludes.leaves_out(&path, &stat, is_dir, found.chain.as_deref())
            {
                continue;
            }
            if reads_some && !is_dir && context.excludes.always_reads(&path) {
                return None;
            }
        }
        if is_dir {
            let position = u32::try_from(printer.count()).expect("a known folder is small");
            let known = context.known.find_in(&found.path, name)?;
            subfolders.push(CoveredChild { position, name: name.to_vec(), known, stat });
        }
        if !is_dir {
            files += 1;
            // Sparse files may claim any length.
            bytes = u64::saturating_add(bytes, stat_size(&stat));
        }
        printer.add(name, &stat, &context.devices);
    }
    if Some(printer.finish()) != known.print {
        return None;
    }
    Counts::add(&context.counts.unchanged, files);
    Counts::add(&context.monitor.files_done, files);
    Counts::add(&context.monitor.bytes_done, bytes);
    Some(Covered { known, subfolders })
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

/// A folder as it was opened; `dir` is `None` if it could not be.
#[derive(Clone, Copy)]
struct Opened<'a> {
    path: &'a [u8],
    stat: &'a Stat,
    dir: Option<&'a Dir>,
}

fn look_at(new: &NewFolder, walk: &Walk, path: Vec<u8>, stat: Stat, mut dir: Option<Dir>) -> Found {
    let excludes = &walk.context.excludes;
    let vouched_for = matches!(new.was, Was::Covered(..)) && dir.is_some();
    let opened = Opened { path: &path, stat: &stat, dir: dir.as_ref() };
    let (identity, is_same) = identify(new, walk.context, opened);
    let own = (!vouched_for)
        .then(|| Box::new(own_entry(new, walk, opened, is_same, identity.is_trusted)));
    let above = new.above.as_ref().map(|(above, _)| above);
    let device_above = above.filter(|_| !new.scope.is_source).and_then(|above| above.device());
    let mut only_named = new.scope.only_named;
    let entered = dir.as_ref().filter(|_| !only_named);
    if let Some(reason) = entered.and_then(|dir| excludes.stops_at(dir, &stat, device_above)) {
        match new.scope.is_source {
            true => walk.context.monitor.source_problem(ProblemKind::Unreadable, &path, reason),
            false => walk.context.monitor.problem(ProblemKind::Notice, &path, reason),
        }
        only_named = !new.scope.named.is_empty();
        dir = dir.filter(|_| only_named);
    }
    let device = (!only_named).then_some(stat.dev);
    if device.is_some() && device != device_above {
        walk.context.devices.enter(stat.dev, &path);
    }
    let (mut chain, mut marker) = (None, None);
    let names = match &dir {
        _ if only_named => names_of(&new.scope.named),
        None => DirNames::default(),
        Some(dir) => {
            let mut names = dir.names().unwrap_or_else(|error| {
                let around = above.filter(|_| !new.scope.follows).and_then(|above| above.dir());
                let error = match around {
                    Some(around) => walk.context.listings.judge(&around, &new.name, error),
                    None => error,
                };
                let _ = report(walk.context, &path, &error);
                DirNames::default()
            });
            names.add(new.scope.named.keys().map(Vec::as_slice));
            let mut report = |name: &[u8], kind, what: String| {
                walk.context.monitor.problem(kind, &[&path, &b"/"[..], name].concat(), what);
            };
            chain = excludes.chain_for(
                dir,
                &path,
                &names,
                above.and_then(|above| above.chain()),
                &mut report,
            );
            // Who names a folder wants what is in it, whatever marks it.
            marker = excludes
                .marker_of(dir, &names)
                .filter(|_| !new.scope.is_source)
                .map(<[u8]>::to_vec);
            names
        }
    };
    Found { path, own, dir, device, chain, marker, names, only_named, identity }
}

/// Finds out which folder this is, and whether it is the one that the parent had here.
fn identify(new: &NewFolder, context: &Context, opened: Opened) -> (Identity, bool) {
    let Opened { path, stat, dir } = opened;
    let is_trusted = dir.is_some_and(|dir| context.devices.is_trusted(stat.dev, dir));
    let (known, is_unmoved) = match &new.was {
        Was::Covered(known, _) => (Some(*known), true),
        Was::Entry(before) => {
            (context.known.find(path), is_unmoved(context, &before.entry, stat, is_trusted))
        }
        Was::Unknown => (None, false),
    };
    let ignored = context.devices.ignore_inodes;
    let is_same = ignored || known.as_ref().map_or(new.is_same, |known| known.inode == stat.inode);
    let trust = match ignored {
        true => Trust::All,
        false => Trust::of(context, known.as_ref(), is_same, is_unmoved, is_trusted),
    };
    let place = known.map_or_else(|| context.known.place_of(path), |known| known.place);
    (Identity { place, inode: stat.inode, known, trust, is_trusted }, is_same)
}

/// Returns the folder's own entry without content, the parent's where nothing about the folder
/// itself changed.
fn own_entry(
    new: &NewFolder,
    walk: &Walk,
    opened: Opened,
    is_same: bool,
    is_trusted: bool,
) -> DirEntry {
    let Opened { path, stat, dir } = opened;
    let is_way = new.scope.only_named;
    if let Some(before) = new.was.entry()
        && !walk.context.doubts.is_on(path)
        && (is_same && is_unchanged(walk.context, &before.entry, stat, is_trusted)
            || is_way && is_way_unchanged(&before.entry, stat))
    {
        return before.clone();
    }
    let xattrs = match (dir, new.above.as_ref().and_then(|(above, _)| above.dir())) {
        (Some(dir), _) if !is_way => read_xattrs_of(dir),
        (Some(_), Some(above)) => read_xattrs(&*above, &new.name, EntryKind::Dir),
        // Who may not open it may read most of them nevertheless.
        (None, Some(above)) if !is_way && !new.scope.follows => {
            read_xattrs(&*above, &new.name, EntryKind::Dir)
        }
        _ => Ok(Default::default()),
    };
    let xattrs = xattrs_or_problem(walk.context, path, xattrs);
    let described = describe(walk.context, &new.name, stat, Content::None, xattrs);
    match new.was.entry() {
        // Looked at again only because its stamps could not be trusted.
        Some(before) if is_equal_but_for_content(before, &described) => before.clone(),
        _ => described,
    }
}

/// Returns whether files of this host, and whether streams, lie somewhere below.
fn below(named: &Named) -> (bool, bool) {
    named.values().fold((false, false), |(files, streams), node| match node {
        SourceNode::Whole { .. } => (true, streams),
        SourceNode::Made(_) => (files, true),
        SourceNode::Way(deeper) => {
            let found = below(deeper);
            (files || found.0, streams || found.1)
        }
    })
}

/// Describes a folder on the way to a stream that this host does not have, or may not open:
/// private, and of now.
fn made_folder(context: &Context) -> Stat {
    let (uid, gid) = own_ids();
    let (kind, now) = (EntryKind::Dir, context.started);
    let none = (0, 0);
    Stat {
        kind,
        mode: 0o700,
        uid,
        gid,
        size: 0,
        mtime: now,
        ctime: now,
        btime: None,
        device: None,
        nlink: 1,
        inode: 0,
        dev: none,
        mount_id: 0,
        blocks: 0,
        attributes: 0,
    }
}

fn names_of(named: &Named) -> DirNames {
    let mut names = DirNames::default();
    names.add(named.keys().map(Vec::as_slice));
    names
}
