//! Entry into a directory: opens it, describes it, lists its names.

use std::sync::atomic::Ordering;

use super::context::FileCounts;
use super::describe::{
    describe, is_ancestor_unchanged, is_unchanged, stat_size, xattrs_or_problem,
};
use super::directory::{FINGERPRINTED_NAMES_MAX, finished, path_below};
use super::file::report;
use super::inspected::{
    DirectoryIdentity, FingerprintMatch, InspectedDirectory, KnownSubdirectory, ParentState,
};
use super::ordered_results::{EntryResult, is_equal_but_for_content};
use super::path;
use super::sources::{SourceFilter, SourceNode};
use super::task::{Directory, NewDirectory, SourceWalk};
use super::timestamps::trust_before;
use super::trust::{EntryTrust, is_unmoved};
use super::worker::Worker;
use crate::format::entry::{Content, EntryKind, Timestamp};
use crate::monitor::ProblemKind;
use crate::os::attributes::{read_xattrs, read_xattrs_of};
use crate::os::dir::{Dir, DirNames};
use crate::os::process::own_ids;
use crate::os::stat::Stat;
use crate::repo::{DirEntry, Result};

/// Opens a directory and begins its scan.
pub(super) fn enter(mut new: NewDirectory, walk: &SourceWalk, worker: &mut Worker) -> Result<()> {
    let path =
        new.above.as_ref().map_or(Vec::new(), |(above, _)| path_below(above, &new.name, worker));
    walk.source.monitor.working_on(&path);
    let opened = open(&mut new, walk, &path);
    let stat = |dir: &Dir| match &new.parent_state {
        ParentState::Fingerprinted(_, stat) => Ok(*stat),
        _ => dir.stat_self(),
    };
    let opened = opened.and_then(|dir| Ok((stat(&dir)?, Some(dir))));
    let (stat, dir) = match opened {
        Ok(found) => found,
        Err(error) => {
            let (files, made) =
                if new.scope.only_named { below(&new.scope.named) } else { (true, false) };
            let stand_in = stat_unopened(&new, &error)
                .or_else(|| made.then(|| placeholder_stat(walk.source.started)));
            if new.scope.is_source && stand_in.is_none() {
                walk.source.losses.note_unread(&path, error);
            } else if files && (new.scope.only_named || new.scope.is_source) {
                // A name that the user gave is missing: more than a file that vanished by chance.
                walk.source.monitor.source_problem(
                    ProblemKind::Unreadable,
                    &path,
                    error.to_string(),
                );
            } else if files {
                let _ = report(walk.source.monitor, &path, &error);
            }
            match stand_in {
                Some(stat) => (stat, None),
                None => return skip(new, walk, worker),
            }
        }
    };
    let above = new.above.as_ref().map(|(above, _)| above.clone());
    let found = inspect(&new, walk, path, stat, dir);
    let matched = match_fingerprint(&new, walk, worker, &found);
    above.iter().for_each(|above| above.release_dir());
    if let (Some(matched), Some((above, slot))) = (&matched, &new.above)
        && matched.subdirectories.is_empty()
    {
        let (known, is_parents) = (matched.known, !new.deleted_before);
        walk.target.directories.add_unchanged(&known);
        if new.scope.is_source {
            walk.source.losses.note_parent_files(&found.path, known.totals.files);
            walk.source.losses.note_stored(&found.path, known.totals.files);
        }
        walk.source.monitor.dirs_done.fetch_add(1, Ordering::Relaxed);
        return above.clone().fill(
            walk,
            worker,
            *slot,
            finished(found.own_entry, is_parents, known.tree, known.totals),
        );
    }
    let directory = Directory::new(walk, new, found, matched.as_ref());
    match matched {
        Some(matched) => directory.scan_matched(walk, worker, matched),
        None => directory.scan(walk, worker),
    }
}

/// Opens a directory. If it cannot be listed, it is opened to reach the sources below it.
fn open(new: &mut NewDirectory, walk: &SourceWalk, path: &[u8]) -> std::io::Result<Dir> {
    if new.scope.only_named {
        return walk.source.root.open_ancestor(path);
    }
    let opened = match new.above.as_ref().and_then(|(above, _)| above.dir()) {
        Some(above) if !new.scope.follows => {
            let opened = walk
                .source
                .listings
                .retry_if_listed(&above, &new.name, || above.open_dir(&new.name));
            opened.map_err(|error| {
                walk.source.listings.explain_missing_directory(&above, new.seen, error)
            })
        }
        Some(_) => walk.source.root.open_dir(path),
        None => walk.source.root.open_dir(b"/"),
    };
    match opened {
        Err(error) if !new.scope.named.is_empty() => {
            let _ = report(walk.source.monitor, path, &error);
            new.scope.only_named = true;
            walk.source.root.open_ancestor(path)
        }
        opened => opened,
    }
}

/// Compares the names and metadata of a directory with the parent's fingerprint; `None` if they
/// differ, or if it has none.
fn match_fingerprint(
    new: &NewDirectory,
    walk: &SourceWalk,
    worker: &mut Worker,
    found: &InspectedDirectory,
) -> Option<FingerprintMatch> {
    let (source, target) = (walk.source, walk.target);
    let dir = found.dir.as_ref()?;
    if new.scope.only_named
        || !new.scope.named.is_empty()
        || found.marker.is_some()
        || found.names.len() > FINGERPRINTED_NAMES_MAX
    {
        return None;
    }
    let known = found.identity.known?;
    if known.fingerprint.is_none()
        || new.parent_state.tree() != Some((known.tree, known.totals))
        || target.has_doubts_in(&found.path)
    {
        return None;
    }
    let hasher = worker.writer.empty_hasher(trust_before(source.started));
    let (mut subdirectories, mut files, mut bytes) = (Vec::new(), 0, 0);
    let has_rules = source.excludes.has_rules(found.chain.as_deref());
    let reads_some = source.excludes.reads_some_always();
    for name in found.names.iter() {
        let stat = dir.stat(name).ok()?;
        let is_dir = stat.kind == EntryKind::Dir;
        if has_rules || reads_some {
            let path = path::join(&found.path, name);
            if has_rules && source.excludes.leaves_out(&path, &stat, is_dir, found.chain.as_deref())
            {
                continue;
            }
            if reads_some && !is_dir && source.excludes.always_reads(&path) {
                return None;
            }
        }
        if is_dir {
            let position =
                u32::try_from(hasher.count()).expect("a directory with a fingerprint is small");
            let known = target.directories.find_in(&found.path, name)?;
            subdirectories.push(KnownSubdirectory { position, name: name.to_vec(), known, stat });
        }
        if !is_dir {
            files += 1;
            // Sparse files may claim any length.
            bytes = u64::saturating_add(bytes, stat_size(&stat));
        }
        hasher.add(name, &stat, &source.devices);
    }
    if Some(hasher.finish()) != known.fingerprint {
        return None;
    }
    FileCounts::add(&target.counts.unchanged, files);
    FileCounts::add(&source.monitor.files_done, files);
    FileCounts::add(&source.monitor.bytes_done, bytes);
    Some(FingerprintMatch { known, subdirectories })
}

/// Returns the metadata of a directory that cannot be opened but exists: it is stored as empty.
fn stat_unopened(new: &NewDirectory, error: &std::io::Error) -> Option<Stat> {
    if error.kind() == std::io::ErrorKind::NotFound {
        return None;
    }
    let above = new.above.as_ref()?.0.dir()?;
    above.stat(&new.name).ok().filter(|stat| stat.kind == EntryKind::Dir)
}

fn skip(new: NewDirectory, walk: &SourceWalk, worker: &mut Worker) -> Result<()> {
    let Some((above, slot)) = new.above else {
        return Ok(());
    };
    above.release_dir();
    above.fill(walk, worker, slot, EntryResult::Skipped { deleted: true })
}

/// A directory as it was found; `dir` is `None` if it could not be opened.
#[derive(Clone, Copy)]
struct OpenDirectory<'a> {
    path: &'a [u8],
    stat: &'a Stat,
    dir: Option<&'a Dir>,
}

/// Describes and lists a directory, and decides what of it is wanted.
fn inspect(
    new: &NewDirectory,
    walk: &SourceWalk,
    path: Vec<u8>,
    stat: Stat,
    mut dir: Option<Dir>,
) -> InspectedDirectory {
    let excludes = &walk.source.excludes;
    let vouched_for = matches!(new.parent_state, ParentState::Fingerprinted(..)) && dir.is_some();
    let opened = OpenDirectory { path: &path, stat: &stat, dir: dir.as_ref() };
    let (identity, is_same) = identify(new, walk, opened);
    let own_entry = (!vouched_for)
        .then(|| Box::new(describe_directory(new, walk, opened, is_same, identity.is_trusted)));
    let above = new.above.as_ref().map(|(above, _)| above);
    let device_above = above.filter(|_| !new.scope.is_source).and_then(|above| above.device());
    let mut only_named = new.scope.only_named;
    let entered = dir.as_ref().filter(|_| !only_named);
    if let Some(reason) = entered.and_then(|dir| excludes.stops_at(dir, &stat, device_above)) {
        match new.scope.is_source {
            true => walk.source.monitor.source_problem(ProblemKind::Unreadable, &path, reason),
            false => walk.source.monitor.problem(ProblemKind::Notice, &path, reason),
        }
        only_named = !new.scope.named.is_empty();
        dir = dir.filter(|_| only_named);
    }
    let device = (!only_named).then_some(stat.dev);
    if device.is_some() && device != device_above {
        walk.source.devices.add(stat.dev, &path);
    }
    let (mut chain, mut marker) = (None, None);
    let names = match &dir {
        _ if only_named => names_of(&new.scope.named),
        None => DirNames::default(),
        Some(dir) => {
            let mut names = dir.names().unwrap_or_else(|error| {
                let around = above.filter(|_| !new.scope.follows).and_then(|above| above.dir());
                let error = match around {
                    Some(around) => walk.source.listings.explain_missing(&around, &new.name, error),
                    None => error,
                };
                let _ = report(walk.source.monitor, &path, &error);
                DirNames::default()
            });
            names.add(new.scope.named.keys().map(Vec::as_slice));
            let mut report = |name: &[u8], kind, what: String| {
                walk.source.monitor.problem(kind, &[&path, &b"/"[..], name].concat(), what);
            };
            chain = excludes.chain_for(
                dir,
                &path,
                &names,
                above.and_then(|above| above.chain()),
                &mut report,
            );
            // A marker does not leave out the content of a source.
            marker = excludes
                .marker_of(dir, &names)
                .filter(|_| !new.scope.is_source)
                .map(<[u8]>::to_vec);
            names
        }
    };
    InspectedDirectory { path, own_entry, dir, device, chain, marker, names, only_named, identity }
}

/// Identifies a directory, and returns whether it is the one that the parent has at this path.
fn identify(
    new: &NewDirectory,
    walk: &SourceWalk,
    opened: OpenDirectory,
) -> (DirectoryIdentity, bool) {
    let (source, target) = (walk.source, walk.target);
    let OpenDirectory { path, stat, dir } = opened;
    let is_trusted = dir.is_some_and(|dir| source.devices.is_trusted(stat.dev, dir));
    let (known, is_unmoved) = match &new.parent_state {
        ParentState::Fingerprinted(known, _) => (Some(*known), true),
        ParentState::Entry(before) => {
            (target.directories.find(path), is_unmoved(target, &before.entry, stat, is_trusted))
        }
        ParentState::Unknown => (None, false),
    };
    let ignored = source.devices.ignore_inodes;
    let is_same = ignored || known.as_ref().map_or(new.is_same, |known| known.inode == stat.inode);
    let trust = match ignored {
        true => EntryTrust::All,
        false => EntryTrust::of(target, known.as_ref(), is_same, is_unmoved, is_trusted),
    };
    let path_hash =
        known.map_or_else(|| target.directories.path_hash(path), |known| known.path_hash);
    (DirectoryIdentity { path_hash, inode: stat.inode, known, trust, is_trusted }, is_same)
}

/// Returns the directory's own entry: the parent's if the directory itself did not change, else a
/// new one without content.
fn describe_directory(
    new: &NewDirectory,
    walk: &SourceWalk,
    opened: OpenDirectory,
    is_same: bool,
    is_trusted: bool,
) -> DirEntry {
    let OpenDirectory { path, stat, dir } = opened;
    let is_ancestor = new.scope.only_named;
    if let Some(before) = new.parent_state.entry()
        && !walk.target.has_doubts_on(path)
        && (is_same && is_unchanged(walk.contexts(), &before.entry, stat, is_trusted)
            || is_ancestor && is_ancestor_unchanged(&before.entry, stat))
    {
        return before.clone();
    }
    let xattrs = match (dir, new.above.as_ref().and_then(|(above, _)| above.dir())) {
        (Some(dir), _) if !is_ancestor => read_xattrs_of(dir),
        (Some(_), Some(above)) => read_xattrs(&*above, &new.name, EntryKind::Dir),
        // Most attributes can be read without the right to open the directory.
        (None, Some(above)) if !is_ancestor && !new.scope.follows => {
            read_xattrs(&*above, &new.name, EntryKind::Dir)
        }
        _ => Ok(Default::default()),
    };
    let xattrs = xattrs_or_problem(walk.source.monitor, path, xattrs);
    let described = describe(walk.contexts(), &new.name, stat, Content::None, xattrs);
    match new.parent_state.entry() {
        // It was described again only because its times are not trusted.
        Some(before) if is_equal_but_for_content(before, &described) => before.clone(),
        _ => described,
    }
}

/// Returns whether there are files of this host below, and whether there are files of dumps.
fn below(named: &SourceFilter) -> (bool, bool) {
    named.values().fold((false, false), |(files, made), node| match node {
        SourceNode::Whole { .. } => (true, made),
        SourceNode::Made(_) => (files, true),
        SourceNode::LeftOut => (files, made),
        SourceNode::Partial(deeper) => {
            let found = below(deeper);
            (files || found.0, made || found.1)
        }
    })
}

/// Describes a directory above a dump that does not exist on this host, or cannot be opened:
/// private, and made now.
fn placeholder_stat(now: Timestamp) -> Stat {
    let (uid, gid) = own_ids();
    let kind = EntryKind::Dir;
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

fn names_of(named: &SourceFilter) -> DirNames {
    let mut names = DirNames::default();
    names.add(named.keys().map(Vec::as_slice));
    names
}
