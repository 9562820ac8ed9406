//! Directory listings, in pieces.

use std::sync::{Arc, OnceLock};

use fuser::{FileAttr, FileType};
use rustix::io::Errno;

use super::attributes::file_type;
use super::files::{Files, FuseResult, top_node};
use super::inodes::{EntryNode, MountNode, ROOT, number_of_group, number_of_name};
use super::views::BY_ID;
use crate::format::limits;
use crate::id::ChunkId;
use crate::repo::read::node_cache::CachedEntry;

/// Offsets of `.` and `..`, before those of the entries.
const DOTS: u64 = 2;
/// Offsets per leaf: the offset of an entry encodes its leaf and its position there, so that a
/// listing can continue anywhere.
const PLACES_PER_LEAF: u64 = 1 << 16;
const _: () = assert!(limits::NODE_ENTRIES_MAX < PLACES_PER_LEAF as usize);
/// Longest name that the kernel takes, in bytes.
const NAME_LEN_MAX_BYTES: usize = 1_024;

/// An open directory.
pub(super) struct OpenDir {
    number: u64,
    parent: u64,
    list: DirContent,
}

enum DirContent {
    /// Directories above the snapshots change: this is the content at the time of opening.
    Top(Vec<(String, MountNode)>),
    Tree {
        folder: Arc<MountNode>,
        dir: ChunkId,
        leaves: OnceLock<Vec<ChunkId>>,
    },
}

/// An entry of a listing.
pub(super) struct ListedEntry<'a> {
    /// Inode number.
    pub number: u64,
    /// Offset of the next entry.
    pub next: u64,
    /// What it is.
    pub kind: FileType,
    /// Its name.
    pub name: &'a [u8],
    /// Its attributes, if requested; the kernel then holds a reference to the number.
    pub attributes: Option<FileAttr>,
}

/// Takes an entry; returns true if it did not fit.
pub(super) type Sink<'a> = dyn FnMut(&ListedEntry<'_>) -> bool + 'a;

impl OpenDir {
    /// Returns whether its content can never change.
    pub(super) fn is_fixed(&self) -> bool {
        matches!(self.list, DirContent::Tree { .. })
    }
}

impl Files {
    /// Opens a directory.
    pub(super) fn open_dir(&self, number: u64) -> FuseResult<OpenDir> {
        let folder = self.node(number)?;
        let (parent, list) = match &*folder {
            MountNode::Top(path) => {
                let views = self.views().ok_or(Errno::STALE)?;
                let items = views.folder(path).ok_or(Errno::NOENT)?;
                let nodes = items.iter().map(|(name, item)| {
                    (name.clone(), top_node(path, name.as_bytes(), item.clone()))
                });
                let above =
                    path.rsplit_once('/').map(|(above, _)| number_of_name(ROOT, above.as_bytes()));
                (above.unwrap_or(ROOT), DirContent::Top(nodes.collect()))
            }
            MountNode::Link(_) => return Err(Errno::NOTDIR),
            node => {
                let dir = self.tree_of(number, node)?;
                let parent = match node {
                    _ if number == ROOT => ROOT,
                    MountNode::Entry(entry) => entry.parent,
                    _ => number_of_name(ROOT, BY_ID.as_bytes()),
                };
                (parent, DirContent::Tree { folder, dir, leaves: OnceLock::new() })
            }
        };
        Ok(OpenDir { number, parent, list })
    }

    /// Lists an open directory from an offset until `sink` is full.
    ///
    /// Fails only if not even the first entry can be read.
    pub(super) fn list(
        &self,
        open: &OpenDir,
        place: u64,
        with_attributes: bool,
        sink: &mut Sink<'_>,
    ) -> FuseResult<()> {
        let mut given = 0;
        let mut sink = |line: &ListedEntry<'_>| {
            let is_full = sink(line);
            given += u64::from(!is_full);
            is_full
        };
        for (at, number, name) in [(0, open.number, "."), (1, open.parent, "..")] {
            if place <= at {
                let attributes =
                    with_attributes.then(|| self.view(number, &MountNode::Top(String::new())));
                let line = ListedEntry {
                    number,
                    next: at + 1,
                    kind: FileType::Directory,
                    name: name.as_bytes(),
                    attributes,
                };
                if sink(&line) {
                    return Ok(());
                }
            }
        }
        let place = place.saturating_sub(DOTS);
        let listed = match &open.list {
            DirContent::Top(nodes) => {
                self.list_top(open.number, nodes, place, with_attributes, &mut sink);
                Ok(())
            }
            DirContent::Tree { .. } => self.list_tree(open, place, with_attributes, &mut sink),
        };
        if given > 0 { Ok(()) } else { listed }
    }

    fn list_top(
        &self,
        parent: u64,
        nodes: &[(String, MountNode)],
        place: u64,
        with_attributes: bool,
        sink: &mut Sink<'_>,
    ) {
        for (at, (name, node)) in
            (0..).zip(nodes).skip(usize::try_from(place).unwrap_or(usize::MAX))
        {
            let wanted = node.number(parent, name.as_bytes());
            let number =
                if with_attributes { self.inodes.enter(wanted, node.clone()) } else { wanted };
            let kind = if matches!(node, MountNode::Link(_)) {
                FileType::Symlink
            } else {
                FileType::Directory
            };
            let attributes = with_attributes.then(|| self.view(number, node));
            if sink(&ListedEntry {
                number,
                next: DOTS + at + 1,
                kind,
                name: name.as_bytes(),
                attributes,
            }) {
                if with_attributes {
                    self.inodes.forget(number, 1);
                }
                return;
            }
        }
    }

    fn list_tree(
        &self,
        open: &OpenDir,
        place: u64,
        with_attributes: bool,
        sink: &mut Sink<'_>,
    ) -> FuseResult<()> {
        let DirContent::Tree { folder, dir, leaves } = &open.list else {
            return Err(Errno::NOTDIR);
        };
        let failed = |error| self.failed(open.number, &error);
        let leaves = match leaves.get() {
            Some(leaves) => leaves,
            None => {
                let found = self.contents.nodes().leaves(dir).map_err(failed)?;
                leaves.get_or_init(|| found)
            }
        };
        let (mut at, first) = (place % PLACES_PER_LEAF, place / PLACES_PER_LEAF);
        for (leaf, id) in (0u64..).zip(leaves).skip(usize::try_from(first).unwrap_or(usize::MAX)) {
            let node = self.contents.nodes().tree(id).map_err(failed)?;
            while let Some(found) = CachedEntry::new(&node, at as usize) {
                at += 1;
                if found.name.len() > NAME_LEN_MAX_BYTES {
                    self.report.say(
                        &self.inodes.path(open.number),
                        "a name in it is longer than the kernel takes: it is not shown",
                    );
                    continue;
                }
                let entry = self.entry_node(open.number, folder, *dir, &found)?;
                let next = DOTS + leaf * PLACES_PER_LEAF + at;
                if self.list_entry(&entry, &found, next, with_attributes, sink) {
                    return Ok(());
                }
            }
            at = 0;
        }
        Ok(())
    }

    /// Passes one entry to the sink; returns true if it did not fit.
    fn list_entry(
        &self,
        entry: &EntryNode,
        found: &CachedEntry,
        next: u64,
        with_attributes: bool,
        sink: &mut Sink<'_>,
    ) -> bool {
        let (number, attributes) = if with_attributes {
            let number = self.enter(entry);
            (number, Some(self.attributes(number, &entry.snapshot, found)))
        } else {
            let of_group = entry.group.map(|group| number_of_group(&entry.snapshot.id, group));
            (of_group.unwrap_or_else(|| number_of_name(entry.parent, &entry.name)), None)
        };
        let is_full = sink(&ListedEntry {
            number,
            next,
            kind: file_type(found.kind),
            name: &found.name,
            attributes,
        });
        if is_full && with_attributes {
            self.inodes.forget(number, 1);
        }
        is_full
    }
}
