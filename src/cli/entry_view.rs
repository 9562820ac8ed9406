//! Entries in listings and JSON.

use serde::Serialize;

use super::json_views::{exact, lossy};
use crate::format::entry::{Content, EntryKind, entry_flag};
use crate::format::node::Totals;
use crate::repo::DirEntry;
use crate::text;

/// An entry of a snapshot.
#[derive(Serialize)]
pub(super) struct EntryView {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    kind: &'static str,
    mode: String,
    uid: u32,
    gid: u32,
    user: Option<String>,
    group: Option<String>,
    size: u64,
    mtime: Option<String>,
    btime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<(u32, u32)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hard_link: Option<u64>,
    xattrs: Vec<String>,
    flags: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    totals: Option<TotalsView>,
}

/// Totals of everything below a directory.
#[derive(Serialize)]
pub(super) struct TotalsView {
    files: u64,
    dirs: u64,
    bytes: u64,
}

impl EntryView {
    /// Makes the view of an entry at a path.
    pub(super) fn new(path: &[u8], found: &DirEntry) -> Self {
        let entry = &found.entry;
        let target = link_target(found);
        let flags = [
            (entry_flag::IMMUTABLE, "immutable"),
            (entry_flag::APPEND_ONLY, "append-only"),
            (entry_flag::NO_DUMP, "no-dump"),
            (entry_flag::CHANGED_WHILE_READ, "changed-while-read"),
        ];
        Self {
            path: lossy(path),
            path_hex: exact(path),
            kind: kind_name(entry.kind),
            mode: format!("{:04o}", entry.mode),
            uid: entry.uid,
            gid: entry.gid,
            user: found.user.as_deref().map(str::to_owned),
            group: found.group.as_deref().map(str::to_owned),
            size: entry.size,
            mtime: text::rfc3339(entry.mtime),
            btime: entry.btime.and_then(text::rfc3339),
            target: target.map(lossy),
            target_hex: target.and_then(exact),
            device: entry.device,
            hard_link: entry.hard_link,
            xattrs: entry.xattrs.iter().map(|xattr| lossy(&xattr.name)).collect(),
            flags: flags
                .into_iter()
                .filter(|(bit, _)| entry.flags & bit != 0)
                .map(|(_, name)| name)
                .collect(),
            totals: found.totals.map(TotalsView::new),
        }
    }
}

impl TotalsView {
    /// Makes the view of totals.
    pub(super) fn new(totals: Totals) -> Self {
        Self { files: totals.files, dirs: totals.dirs, bytes: totals.bytes }
    }
}

/// Returns the line of `ls -l`; `label` follows the columns.
pub(super) fn long_line(label: &str, found: &DirEntry) -> String {
    let entry = &found.entry;
    let owner = |name: Option<&str>, number: u32| {
        name.map_or_else(|| number.to_string(), |name| text::printable(name.as_bytes()))
    };
    let size = match (entry.device, found.totals) {
        (Some((major, minor)), _) => format!("{major}, {minor}"),
        (None, Some(totals)) => text::size(totals.bytes),
        (None, None) => text::size(entry.size),
    };
    let target = link_target(found)
        .map_or_else(String::new, |target| format!(" -> {}", text::printable(target)));
    format!(
        "{} {:<8} {:<8} {size:>10} {} {}{target}",
        text::mode(kind_letter(entry.kind), entry.mode),
        owner(found.user.as_deref(), entry.uid),
        owner(found.group.as_deref(), entry.gid),
        text::local_time(entry.mtime),
        label,
    )
}

fn link_target(found: &DirEntry) -> Option<&[u8]> {
    match (&found.entry.content, found.entry.kind) {
        (Content::Inline(target), EntryKind::Symlink) => Some(target),
        _ => None,
    }
}

/// Returns the letter of `ls -l` for a kind.
pub(super) fn kind_letter(kind: EntryKind) -> char {
    match kind {
        EntryKind::File => '-',
        EntryKind::Dir => 'd',
        EntryKind::Symlink => 'l',
        EntryKind::Fifo => 'p',
        EntryKind::Socket => 's',
        EntryKind::CharDevice => 'c',
        EntryKind::BlockDevice => 'b',
    }
}

/// Returns the name of a kind in JSON.
pub(super) fn kind_name(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Dir => "dir",
        EntryKind::Symlink => "symlink",
        EntryKind::Fifo => "fifo",
        EntryKind::Socket => "socket",
        EntryKind::CharDevice => "char-device",
        EntryKind::BlockDevice => "block-device",
    }
}
