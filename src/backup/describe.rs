//! Entries from file metadata, and comparison with the parent's entries.

use super::context::{Contexts, SourceContext};
use crate::format::codec;
use crate::format::entry::{Content, Entry, EntryKind, Xattr, entry_flag};
use crate::format::limits::{ENTRY_BULK_MAX_BYTES, NAME_LEN_MAX_BYTES};
use crate::monitor::{Monitor, ProblemKind};
use crate::os::attributes::{PartialXattrs, read_flags};
use crate::os::process::own_ids;
use crate::os::stat::Stat;
use crate::repo::DirEntry;

/// Creates the entry of a file.
pub(super) fn describe(
    contexts: Contexts,
    name: &[u8],
    stat: &Stat,
    content: Content,
    xattrs: Vec<Xattr>,
) -> DirEntry {
    let size = match (&content, stat.kind) {
        (Content::Inline(bytes), _) => bytes.len() as u64,
        (_, EntryKind::File) => stat.size,
        _ => 0,
    };
    let mut entry = Entry {
        name: Vec::new(),
        kind: stat.kind,
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        user: 0,
        group: 0,
        mtime: stat.mtime,
        ctime: stat.ctime,
        btime: stat.btime,
        size,
        device: stat.device,
        hard_link: None,
        content,
        xattrs,
        flags: read_flags(stat),
        extensions: Vec::new(),
    };
    entry.hard_link = has_links(stat).then(|| hard_link_group(contexts, stat, &entry));
    entry.name = name.to_vec();
    let (user, group) =
        (contexts.source.owners.user(stat.uid), contexts.source.owners.group(stat.gid));
    DirEntry { entry, user, group, totals: None }
}

/// Creates the entry of a file that a dump made: with the owner, mode and times of its original, or
/// private, of this process, and made now.
pub(super) fn describe_made(
    source: &SourceContext,
    name: &[u8],
    content: Content,
    size: u64,
    original: Option<&Stat>,
) -> DirEntry {
    let (uid, gid) = original.map_or_else(own_ids, |stat| (stat.uid, stat.gid));
    let now = source.started;
    let entry = Entry {
        name: name.to_vec(),
        kind: EntryKind::File,
        mode: original.map_or(0o600, |stat| stat.mode),
        uid,
        gid,
        user: 0,
        group: 0,
        mtime: original.map_or(now, |stat| stat.mtime),
        ctime: original.map_or(now, |stat| stat.ctime),
        btime: original.and_then(|stat| stat.btime),
        size,
        device: None,
        hard_link: None,
        content,
        xattrs: Vec::new(),
        flags: 0,
        extensions: Vec::new(),
    };
    DirEntry { entry, user: source.owners.user(uid), group: source.owners.group(gid), totals: None }
}

fn has_links(stat: &Stat) -> bool {
    stat.nlink > 1 && stat.kind != EntryKind::Dir
}

/// Returns the hard-link group of a file with several names.
///
/// `described` is its entry without name, owners' names and group. The number depends on all of it,
/// content included: if inode numbers are not unique or are used again, only files that are equal
/// but for their names can get into one group.
fn hard_link_group(contexts: Contexts, stat: &Stat, described: &Entry) -> u64 {
    let label = contexts.source.devices.label(stat.dev);
    contexts.target.session.ids().hard_link_group(&label, stat.inode, &codec::encode(described))
}

/// Returns whether the parent's entry has the hard-link group that the file has now.
fn is_same_group(contexts: Contexts, before: &Entry, stat: &Stat) -> bool {
    if !has_links(stat) || before.hard_link.is_none() {
        return has_links(stat) == before.hard_link.is_some();
    }
    let bare = Entry { name: Vec::new(), user: 0, group: 0, hard_link: None, ..before.clone() };
    before.hard_link == Some(hard_link_group(contexts, stat, &bare))
}

/// Returns whether the parent's entry still describes a file, content included, provided that it is
/// of this file: see `trust`.
///
/// The change time (ctime) moves with every change of content or attributes, and programs cannot
/// set it back. `is_trusted` says whether this machine's own clock made it.
pub(super) fn is_unchanged(
    contexts: Contexts,
    before: &Entry,
    stat: &Stat,
    is_trusted: bool,
) -> bool {
    let same_file = before.kind == stat.kind
        && before.ctime == stat.ctime
        && before.mtime == stat.mtime
        && before.btime == stat.btime
        && (stat.kind == EntryKind::Dir || before.size == stat_size(stat));
    let same_metadata = (before.mode, before.uid, before.gid, before.device)
        == (stat.mode, stat.uid, stat.gid, stat.device)
        && before.flags == read_flags(stat);
    same_file
        && same_metadata
        && contexts.target.parent.as_ref().is_some_and(|parent| parent.is_settled(stat, is_trusted))
        && is_same_group(contexts, before, stat)
}

/// Returns whether the parent's entry has all extended attributes of the file.
pub(super) fn has_xattrs(before: &Entry, read: std::io::Result<PartialXattrs>) -> bool {
    read.is_ok_and(|(xattrs, unread)| unread.is_empty() && xattrs == before.xattrs)
}

/// Returns the length that the entry of a file states, in bytes.
pub(super) fn stat_size(stat: &Stat) -> u64 {
    if matches!(stat.kind, EntryKind::File | EntryKind::Symlink) { stat.size } else { 0 }
}

/// Returns whether a directory above a source needs no new entry. Its times are ignored: they
/// change for reasons outside the sources.
pub(super) fn is_ancestor_unchanged(before: &Entry, stat: &Stat) -> bool {
    before.kind == stat.kind
        && (before.mode, before.uid, before.gid) == (stat.mode, stat.uid, stat.gid)
}

/// Marks an entry whose content may mix two states of the file.
pub(super) fn mark_changed(entry: &mut DirEntry) {
    entry.entry.flags |= entry_flag::CHANGED_WHILE_READ;
}

/// Returns whether the content of an entry may mix two states of the file.
pub(super) fn is_doubtful(entry: &DirEntry) -> bool {
    entry.entry.flags & entry_flag::CHANGED_WHILE_READ != 0
}

/// Returns the extended attributes that were read, as far as an entry can hold them, and reports
/// those that are missing.
///
/// One that cannot be read does not affect the others, nor the ACL.
pub(super) fn xattrs_or_problem(
    monitor: &Monitor,
    path: &[u8],
    read: std::io::Result<PartialXattrs>,
) -> Vec<Xattr> {
    let (mut xattrs, unread) = read.unwrap_or_else(|error| {
        if error.kind() == std::io::ErrorKind::Unsupported {
            monitor.notice_once(
                path,
                "extended attributes of links and special files are not read, here and elsewhere: \
                    /proc is not mounted",
            );
            return Default::default();
        }
        monitor.problem(ProblemKind::Unreadable, path, format!("its extended attributes: {error}"));
        Default::default()
    });
    for (name, error) in unread {
        let what = format!("its extended attribute {}: {error}", String::from_utf8_lossy(&name));
        monitor.problem(ProblemKind::Unreadable, path, what);
    }
    let (mut room, count) = (XATTRS_LEN_MAX_BYTES, xattrs.len());
    xattrs.retain(|xattr| {
        let left = room.checked_sub(xattr.name.len() + xattr.value.len());
        room = left.unwrap_or(room);
        left.is_some()
    });
    if xattrs.len() < count {
        let what = format!(
            "{} of its {count} extended attributes are more than an entry can hold",
            count - xattrs.len()
        );
        monitor.problem(ProblemKind::Unreadable, path, what);
    }
    xattrs
}

/// Most bytes of a file's extended attributes. The rest of an entry's bulk is its name and inline
/// content.
const XATTRS_LEN_MAX_BYTES: usize =
    ENTRY_BULK_MAX_BYTES - NAME_LEN_MAX_BYTES - SYMLINK_LEN_MAX_BYTES;
/// Longest target of a symbolic link on Linux.
const SYMLINK_LEN_MAX_BYTES: usize = 4096;
