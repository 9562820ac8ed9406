//! Reading one file: opening it, noticing that it changes meanwhile, and what all its names share.

use std::fs::File;
use std::io;

use super::chunk_stream::StreamError;
use super::content::{SMALL_LEN_MAX_BYTES, read_content};
use super::context::{Contexts, Counts, SourceContext};
use super::describe::{describe, mark_changed, xattrs_or_problem};
use super::hard_links::Linked;
use super::worker::Worker;
use crate::format::entry::{Content, EntryKind};
use crate::monitor::{Monitor, ProblemKind};
use crate::os::attributes::{read_xattrs, read_xattrs_of};
use crate::os::dir::{Dir, stat_of};
use crate::os::filesystem;
use crate::os::lease::{LEASE_WAIT_MAX, retry};
use crate::os::stat::Stat;
use crate::repo::{DirEntry, Result};

/// Where a file is.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// Its folder.
    pub dir: &'a Dir,
    /// Its name there.
    pub name: &'a [u8],
    /// Its absolute path, for reports.
    pub path: &'a [u8],
}

/// Makes the entry of anything but a folder; `None` after recording why there is none.
pub fn read(
    source: &SourceContext,
    worker: &mut Worker,
    stat: &Stat,
    place: Place,
) -> Result<Option<DirEntry>> {
    let content = match stat.kind {
        EntryKind::File => return read_file(source, worker, place),
        EntryKind::Symlink => {
            match source.listings.insist(place.dir, place.name, || place.dir.read_link(place.name))
            {
                // What no reader takes must not get into a tree.
                Ok(target) if target.is_empty() => {
                    return Ok(report(
                        source.monitor,
                        place.path,
                        &io::Error::other("it is a link without a target"),
                    ));
                }
                Ok(target) => Content::Inline(target),
                Err(error) => return Ok(report(source.monitor, place.path, &error)),
            }
        }
        _ => Content::None,
    };
    let contexts = Contexts { source, target: worker.writer.target };
    let xattrs = xattrs_or_problem(
        source.monitor,
        place.path,
        read_xattrs(place.dir, place.name, stat.kind),
    );
    Ok(Some(describe(contexts, place.name, stat, content, xattrs)))
}

/// Reads a regular file and returns its entry, or `None` after recording why it is not in the
/// snapshot.
///
/// Fails only if the repository does.
pub fn read_file(
    source: &SourceContext,
    worker: &mut Worker,
    place: Place,
) -> Result<Option<DirEntry>> {
    let open = || source.listings.insist(place.dir, place.name, || place.dir.open_file(place.name));
    let mut file = match retry(LEASE_WAIT_MAX, || source.monitor.is_cancelled(), open) {
        Ok(file) => file,
        Err(error) => return Ok(report(source.monitor, place.path, &error)),
    };
    for attempt in 1.. {
        let stat = match stat_of(&file) {
            Ok(stat) if stat.kind == EntryKind::File => stat,
            Ok(_) => {
                let what = "it was replaced by something that is not a file";
                source.monitor.problem(ProblemKind::Vanished, place.path, what);
                return Ok(None);
            }
            Err(error) => return Ok(report(source.monitor, place.path, &error)),
        };
        let (content, size) = match read_or_share(source.monitor, worker, &file, &stat) {
            Ok(found) => found,
            Err(StreamError::Repository(error)) => return Err(error),
            Err(StreamError::Read(error)) => {
                return Ok(report(
                    source.monitor,
                    place.path,
                    &source.listings.judge(place.dir, place.name, error),
                ));
            }
        };
        let torn = how_torn(&stat, size, stat_of(&file).ok().as_ref());
        let is_small = stat.size <= SMALL_LEN_MAX_BYTES;
        if torn.is_some() && attempt == 1 && is_small && io::Seek::rewind(&mut file).is_ok() {
            continue;
        }
        let xattrs = xattrs_or_problem(source.monitor, place.path, read_xattrs_of(&file));
        let contexts = Contexts { source, target: worker.writer.target };
        let mut entry = describe(contexts, place.name, &Stat { size, ..stat }, content, xattrs);
        if let Some(how) = torn {
            mark_changed(&mut entry);
            source.monitor.problem(ProblemKind::Changed, place.path, how);
        }
        return Ok(Some(entry));
    }
    unreachable!("the second attempt returns")
}

/// Returns why what was read may not be one state of the file, if so; `size` is how much was read.
///
/// That a file of length 0 has content is no sign of a change: those that the kernel makes up are
/// like that.
fn how_torn(before: &Stat, size: u64, after: Option<&Stat>) -> Option<String> {
    let state = |stat: &Stat| (stat.size, stat.mtime, stat.ctime);
    if after.is_none_or(|after| state(after) != state(before)) {
        return Some("it changed while it was read: its content may mix two states".to_owned());
    }
    let differs = size != before.size && before.size > 0;
    differs.then(|| {
        format!("it is {} bytes long by its file system, but {size} could be read", before.size)
    })
}

/// Records why a file cannot be read.
pub fn report(monitor: &Monitor, path: &[u8], error: &io::Error) -> Option<DirEntry> {
    let (kind, what) = match error.kind() {
        io::ErrorKind::NotFound => (ProblemKind::Vanished, error.to_string()),
        io::ErrorKind::WouldBlock => {
            (ProblemKind::Unreadable, format!("another program does not give it back: {error}"))
        }
        _ => (ProblemKind::Unreadable, error.to_string()),
    };
    monitor.problem(kind, path, what);
    None
}

/// Returns a file's content and the bytes that it really has; what was read under another of its
/// names is not read again.
///
/// Only where inode numbers are known to be unique, and only if nothing changed since: elsewhere
/// two names are two files until both are read.
fn read_or_share(
    monitor: &Monitor,
    worker: &mut Worker,
    file: &File,
    stat: &Stat,
) -> std::result::Result<(Content, u64), StreamError> {
    let linked =
        (stat.nlink > 1).then(|| Linked::of(stat)).filter(|_| filesystem::is_trusted(file));
    let target = worker.writer.target;
    if let Some(known) = linked.and_then(|linked| target.links.get(&linked)) {
        return Ok(known);
    }
    let (content, size) = read_content(monitor, worker, file, stat)?;
    Counts::add(&target.counts.bytes_read, size);
    Ok(match linked {
        // What was read may be of two states: it counts for the name that it was read under.
        Some(linked) if size == stat.size => target.links.keep(linked, stat.nlink, content, size),
        _ => (content, size),
    })
}
