//! Creation of further names of a finished file: hard links, or copies where the file system does
//! not support them.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::io::Errno;

use super::clear_name::unlock;
use super::context::RestoreContext;
use super::counts::entry_done;
use super::delete::clear;
use super::dir_finish::release_dir;
use super::enter_dir::REPLACED;
use super::existing::find_existing;
use super::file_job::is_for;
use super::link_group::{FirstLink, Link, LinkGroup, TargetName};
use super::link_outcomes::count_link;
use crate::format::entry::EntryKind;
use crate::os::apply::{CurrentMetadata, Metadata, MetadataTarget, apply};
use crate::os::attributes::{XattrTarget, read_flags, write_flags};
use crate::os::dir::{Dir, stat_of};
use crate::os::filesystem::is_trusted;
use crate::os::special;
use crate::os::stat::Stat;
use crate::restore::error::same_name;
use crate::restore::options::{Overwrite, add};
use crate::restore::target::dir::InodeId;
use crate::sync::lock;

/// The first member of a group and a further name, each with its open directory.
#[derive(Clone, Copy)]
struct LinkPair<'a> {
    from: &'a Dir,
    first: &'a FirstLink,
    to: &'a Dir,
    link: &'a Link,
}

/// The result for one further name.
enum LinkOutcome {
    /// It existed.
    TrimmedDir,
    /// It was linked.
    Linked,
    /// It was copied.
    Copied,
    /// Another entry of this name is left alone.
    LeftAlone,
}

/// Creates one more name of a group with a finished member.
pub(crate) fn make_link(
    context: &RestoreContext,
    group: &LinkGroup,
    first: &FirstLink,
    link: &Link,
) {
    match try_link(context, group, first, link) {
        Ok(LinkOutcome::LeftAlone) => context.leave_alone(|| link.dir.path_of(&link.name)),
        Ok(outcome) => {
            entry_done(context, link.size);
            count_link(context, link.size, matches!(outcome, LinkOutcome::TrimmedDir));
            if matches!(outcome, LinkOutcome::Copied) {
                add(&context.counts.bytes_written, link.size);
            }
        }
        Err(error) => context.report_failed(&link.dir.path_of(&link.name), error),
    }
    release_dir(context, &link.dir);
}

fn try_link(
    context: &RestoreContext,
    group: &LinkGroup,
    first: &FirstLink,
    link: &Link,
) -> io::Result<LinkOutcome> {
    let Link { dir, name, .. } = link;
    let from = first.name.dir.open(&context.host.dirs)?;
    let to = dir.open(&context.host.dirs)?;
    let pair = LinkPair { from: &from, first, to: &to, link };
    if let Some(stat) = find_existing(context, dir, &to, name)? {
        if is_one_file(pair, &stat)? {
            return Ok(LinkOutcome::TrimmedDir);
        }
        if context.options.overwrite == Overwrite::Never {
            return Ok(LinkOutcome::LeftAlone);
        }
        if context.lacks_links(first.identity) && is_copy(context, pair, &stat)? {
            return Ok(LinkOutcome::TrimmedDir);
        }
        clear(context, dir, name, &stat)?;
    }
    match link_to(group, &from, &first.name, &to, name) {
        Ok(()) => {}
        Err(error) if is_without_links(&error) => {
            let is_general =
                !matches!(Errno::from_io_error(&error), Some(Errno::MLINK | Errno::XDEV));
            context.report_copies(is_general.then_some(first.identity), || dir.path_of(name));
            return copy(context, group.kind, pair).map(|()| LinkOutcome::Copied);
        }
        Err(error) => return Err(same_name(error)),
    }
    // Where inode numbers are not trusted, they cannot detect a replacement either.
    if is_trusted(&*to) && InodeId::from(&to.stat(name)?) != first.identity {
        special::remove(&to, name)?;
        return Err(io::Error::other("the file that it links to was replaced meanwhile"));
    }
    Ok(LinkOutcome::Linked)
}

/// Returns whether an existing entry is the first member itself; where inode numbers are not
/// trusted, compares metadata and content.
fn is_one_file(pair: LinkPair<'_>, stat: &Stat) -> io::Result<bool> {
    let LinkPair { from, first, to, link } = pair;
    if InodeId::from(stat) != first.identity {
        return Ok(false);
    }
    if is_trusted(to) {
        return Ok(true);
    }
    let other = from.stat(&first.name.name)?;
    let of = |stat: &Stat| (stat.kind, stat.size, stat.mtime, stat.ctime, stat.nlink);
    if stat.nlink < 2 || of(stat) != of(&other) {
        return Ok(false);
    }
    let is_file = stat.kind == EntryKind::File;
    Ok(!is_file
        || is_same_content(
            &from.open_file(&first.name.name)?,
            &to.open_file(&link.name)?,
            stat.size,
        )?)
}

/// Returns whether a link failed because the file system supports none, no more for this file, or
/// none between these directories.
fn is_without_links(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(
        errno,
        Some(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK | Errno::XDEV)
    )
}

/// Links a name to the first member of a group. Clears the immutable flag for that moment, because
/// an immutable file accepts no links.
fn link_to(
    group: &LinkGroup,
    from: &Dir,
    first: &TargetName,
    to: &Dir,
    name: &[u8],
) -> io::Result<()> {
    let link = || special::make_hard_link(from, &first.name, to, name);
    match link() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        done => return done,
    }
    // Under the lock, so that no other member finds the flags set again between these steps.
    let _alone = lock(&group.state);
    let stat = from.stat(&first.name)?;
    if !unlock(from, &first.name, &stat)? {
        return link();
    }
    let linked = link();
    write_flags(from.open_file(&first.name)?, read_flags(&stat)).and(linked)
}

/// Bytes that are copied at once.
const COPY_LEN_BYTES: usize = 256 << 10;

/// Creates a name as a copy of the first member, which is read from the disk.
fn copy(context: &RestoreContext, kind: EntryKind, pair: LinkPair<'_>) -> io::Result<()> {
    if kind != EntryKind::File {
        return copy_other(context, pair);
    }
    let LinkPair { from, first, to, link } = pair;
    let (source, stat) = open_first(from, first)?;
    let target = special::create_file(to, &link.name, 0o600).map_err(same_name)?;
    if let Err(error) = copy_content(&source, &target, stat.size) {
        // A partial file must not stay. If it cannot be removed either, the first error is
        // reported.
        let _ = special::remove(to, &link.name);
        return Err(error);
    }
    finish_copy(context, &source, &stat, &target, link)
}

fn finish_copy(
    context: &RestoreContext,
    source: &File,
    stat: &Stat,
    target: &File,
    link: &Link,
) -> io::Result<()> {
    let metadata = metadata_of(&XattrTarget::Open(source.as_fd()), stat)?;
    let present = CurrentMetadata { mtime: None, ..CurrentMetadata::from(&stat_of(target)?) };
    let mut failed = Vec::new();
    apply(MetadataTarget::Open(target.as_fd()), &present, &metadata, &mut failed);
    context.report_metadata(failed, || link.dir.path_of(&link.name));
    Ok(())
}

fn metadata_of(subject: &XattrTarget<'_>, stat: &Stat) -> io::Result<Metadata> {
    let Stat { uid, gid, mode, mtime, .. } = *stat;
    Ok(Metadata {
        uid,
        gid,
        mode,
        mtime,
        flags: read_flags(stat),
        xattrs: subject.read_all()?,
        ..Metadata::default()
    })
}

fn open_first(from: &Dir, first: &FirstLink) -> io::Result<(File, Stat)> {
    let source = from.open_file(&first.name.name)?;
    let stat = stat_of(&source)?;
    if InodeId::from(&stat) != first.identity {
        return Err(io::Error::other("the file that it is a copy of was replaced meanwhile"));
    }
    Ok((source, stat))
}

fn copy_content(source: &File, target: &File, size: u64) -> io::Result<()> {
    target.set_len(size)?;
    let mut buffer = vec![0; COPY_LEN_BYTES];
    let mut at = 0;
    while at < size {
        let part = &mut buffer[..COPY_LEN_BYTES.min((size - at) as usize)];
        source.read_exact_at(part, at)?;
        // Zeros exist already, as a hole.
        if part.iter().any(|byte| *byte != 0) {
            target.write_all_at(part, at)?;
        }
        at += part.len() as u64;
    }
    Ok(())
}

/// Returns whether an existing entry is a copy of the first member; if so, corrects its metadata.
fn is_copy(context: &RestoreContext, pair: LinkPair<'_>, stat: &Stat) -> io::Result<bool> {
    let LinkPair { from, first, to, link } = pair;
    let (source, wanted) = open_first(from, first)?;
    let is_like = (stat.kind, stat.size) == (EntryKind::File, wanted.size) && stat.nlink <= 1;
    if !is_like || !is_for(stat.uid, wanted.uid) {
        return Ok(false);
    }
    let Some(there) = open_to_compare(to, &link.name)? else {
        return Ok(false);
    };
    if InodeId::from(&stat_of(&there)?) != InodeId::from(stat)
        || !is_same_content(&source, &there, wanted.size)?
    {
        return Ok(false);
    }
    finish_copy(context, &source, &wanted, &there, link)?;
    Ok(true)
}

/// Opens a possible copy; `None` if its owner may not read it. Falls back to read access for a
/// read-only file: that is enough to compare it and to set its mode and time.
fn open_to_compare(dir: &Dir, name: &[u8]) -> io::Result<Option<File>> {
    let is_refused = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    match special::open_to_change(dir, name) {
        Err(error) if is_refused(&error) => match dir.open_file(name) {
            Err(error) if is_refused(&error) => Ok(None),
            opened => opened.map(Some),
        },
        opened => opened.map(Some),
    }
}

fn is_same_content(a: &File, b: &File, size: u64) -> io::Result<bool> {
    let mut buffers = [vec![0; COPY_LEN_BYTES], vec![0; COPY_LEN_BYTES]];
    let mut at = 0;
    while at < size {
        let len = COPY_LEN_BYTES.min((size - at) as usize);
        let [one, other] = &mut buffers;
        a.read_exact_at(&mut one[..len], at)?;
        b.read_exact_at(&mut other[..len], at)?;
        if one[..len] != other[..len] {
            return Ok(false);
        }
        at += len as u64;
    }
    Ok(true)
}

/// Creates a copy of a symbolic link or special file.
fn copy_other(context: &RestoreContext, pair: LinkPair<'_>) -> io::Result<()> {
    let LinkPair { from, first, to, link } = pair;
    let source = special::open_path(from, &first.name.name)?;
    let stat = stat_of(&source)?;
    if InodeId::from(&stat) != first.identity {
        return Err(io::Error::other(REPLACED));
    }
    let other = super::special_files::SpecialFile {
        dir: Arc::clone(&link.dir),
        name: link.name.clone(),
        kind: stat.kind,
        link_target: if stat.kind == EntryKind::Symlink {
            special::read_open_link(&source)?
        } else {
            Vec::new()
        },
        device: stat.device,
        metadata: metadata_of(&XattrTarget::of_path(source.as_fd()), &stat)?,
        group: None,
        _weight: None,
    };
    super::special_files::make_anew(context, &other, to).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;

    #[test]
    fn what_its_owner_may_only_read_is_compared_and_the_rest_is_made_anew() {
        let temp = tempfile::tempdir().unwrap();
        let is_root = rustix::process::geteuid().is_root();
        for (name, mode) in [("read", 0o444), ("shut", 0o000), ("open", 0o644)] {
            let path = temp.path().join(name);
            std::fs::write(&path, name).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            if is_root {
                chown(&path, Some(65_534), None).unwrap();
            }
        }
        let dir = Dir::open(temp.path()).unwrap();
        let is_open = |name: &[u8]| open_to_compare(&dir, name).unwrap().is_some();
        // The system keeps users per thread.
        let found = std::thread::scope(|scope| {
            let look = || {
                if is_root {
                    rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65_534)).unwrap();
                }
                [&b"read"[..], b"shut", b"open"].map(is_open)
            };
            scope.spawn(look).join().unwrap()
        });
        assert_eq!(found, [true, false, true]);
        assert!(open_to_compare(&dir, b"missing").is_err());
    }
}
