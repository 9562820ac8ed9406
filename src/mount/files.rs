//! File operations: lookup by name, attributes, reads.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use fuser::{FileAttr, FileType};
use rustix::io::Errno;

use super::attributes::{Owner, of_entry, of_view};
use super::catalog::{Catalog, Vanished};
use super::error::Error;
use super::handles::Handles;
use super::inodes::{EntryNode, Inodes, MountNode};
use super::links::Links;
use super::options::{MountOptions, MountSource};
use super::report::Report;
use super::siblings::Siblings;
use super::views::{ViewItem, Views};
use crate::browse;
use crate::format::entry::{Content, EntryKind, Ref, Timestamp, Xattr};
use crate::format::node::Totals;
use crate::format::snapshot::Snapshot;
use crate::id::ChunkId;
use crate::repo::read::file_content::FileContents;
use crate::repo::read::file_map::FileMap;
use crate::repo::read::node_cache::CachedEntry;
use crate::repo::read::readahead::Reading;
use crate::repo::{self, Reader, Trees};

/// Cache time of the kernel for files of snapshots: they never change.
pub(super) const FOREVER: Duration = Duration::from_secs(24 * 3600);
/// Cache time of the kernel for the directories above the snapshots.
pub(super) const BRIEFLY: Duration = Duration::from_secs(1);
/// Memory of the reader in addition to the caches of a mount, in bytes: decoded segments with
/// nodes.
const READER_LEN_BYTES: usize = 24 << 20;
/// Least memory for nodes and segments together, in bytes.
const CACHE_LEN_MIN_BYTES: usize = 16 << 20;
/// Most nodes of a chunk list that are read to compute the holes of a file: enough for 2 GiB
/// without holes.
const LIST_NODES_MAX: usize = 64;
/// Minimum number of readahead threads.
const AHEAD_THREADS_MIN: usize = 4;

/// Result of a FUSE request.
pub(super) type FuseResult<T> = std::result::Result<T, Errno>;

/// The file system, independent of FUSE's types.
pub(super) struct Files {
    pub(super) contents: FileContents,
    siblings: Siblings,
    /// Readahead for files that are not open yet; it is never cancelled.
    of_siblings: Reading,
    links: Links,
    pub(super) inodes: Inodes,
    catalog: Option<Catalog>,
    pub(super) report: Report,
    owner: Owner,
    now: Timestamp,
    open: Handles<OpenFile>,
}

/// An open file.
struct OpenFile {
    number: u64,
    map: FileMap,
    reading: Reading,
}

impl Files {
    /// Prepares the file system.
    pub(super) fn new(
        reader: &Arc<Reader>,
        shown: &MountSource,
        options: MountOptions,
    ) -> Result<Self, Error> {
        let cache =
            options.cache_len_bytes.saturating_sub(READER_LEN_BYTES).max(CACHE_LEN_MIN_BYTES);
        let trees = Trees::new(reader.clone());
        let report = Report::new(options.tell);
        let (catalog, top) = match shown {
            MountSource::All => (
                Some(Catalog::open(reader, options.name_of_time, &report)?),
                MountNode::Top(String::new()),
            ),
            MountSource::One(snapshot, path) => (None, top_of(&trees, snapshot, path)?),
        };
        Ok(Self {
            contents: FileContents::new(reader, cache, AHEAD_THREADS_MIN)?,
            siblings: Siblings::default(),
            of_siblings: Reading::default(),
            links: Links::default(),
            inodes: Inodes::new(top),
            catalog,
            report,
            owner: options.owner,
            now: options.now,
            open: Handles::default(),
        })
    }

    /// Returns the directories above the snapshots; `None` if one snapshot is mounted.
    pub(super) fn views(&self) -> Option<Arc<Views>> {
        self.catalog.as_ref().map(|catalog| catalog.views(&self.report))
    }

    /// Returns a receiver of names that vanish from the directories above the snapshots; `None` if
    /// one snapshot is mounted.
    pub(super) fn vanished(&self) -> Option<Receiver<Vanished>> {
        self.catalog.as_ref().map(Catalog::vanished)
    }

    /// Returns the node of an inode number.
    pub(super) fn node(&self, number: u64) -> FuseResult<Arc<MountNode>> {
        self.inodes.get(number).ok_or(Errno::STALE)
    }

    /// Returns the attributes of a name in a directory; `None` if it is missing and always will be.
    ///
    /// The kernel holds a reference to the found inode from now on.
    pub(super) fn lookup(
        &self,
        parent: u64,
        name: &[u8],
    ) -> FuseResult<Option<(FileAttr, Duration)>> {
        let folder = self.node(parent)?;
        if let MountNode::Top(path) = &*folder {
            let item =
                std::str::from_utf8(name).ok().and_then(|name| self.views()?.find(path, name));
            let node = top_node(path, name, item.ok_or(Errno::NOENT)?);
            let number = self.inodes.enter(node.number(parent, name), node.clone());
            return Ok(Some((self.view(number, &node), BRIEFLY)));
        }
        let dir = self.tree_of(parent, &folder)?;
        let found =
            self.contents.nodes().find(&dir, name).map_err(|error| self.failed(parent, &error))?;
        let Some(found) = found else { return Ok(None) };
        let entry = self.entry_node(parent, &folder, dir, &found)?;
        let number = self.enter(&entry);
        Ok(Some((self.attributes(number, &entry.snapshot, &found), FOREVER)))
    }

    /// Registers an entry for the kernel; returns its number.
    pub(super) fn enter(&self, entry: &EntryNode) -> u64 {
        let node = MountNode::Entry(entry.clone());
        self.inodes.enter(node.number(entry.parent, &entry.name), node)
    }

    /// Makes the node of an entry of a directory.
    pub(super) fn entry_node(
        &self,
        parent: u64,
        folder: &MountNode,
        dir: ChunkId,
        found: &CachedEntry,
    ) -> FuseResult<EntryNode> {
        let snapshot = match folder {
            MountNode::Snapshot(snapshot) | MountNode::Entry(EntryNode { snapshot, .. }) => {
                snapshot.clone()
            }
            MountNode::Top(_) | MountNode::Link(_) => return Err(Errno::NOTDIR),
        };
        Ok(EntryNode {
            snapshot,
            dir,
            parent,
            name: found.name.clone().into(),
            group: found.hard_link,
        })
    }

    /// Returns the attributes of an inode, and their cache time.
    pub(super) fn attributes_of(&self, number: u64) -> FuseResult<(FileAttr, Duration)> {
        match &*self.node(number)? {
            MountNode::Entry(entry) => {
                Ok((self.attributes(number, &entry.snapshot, &self.found(number, entry)?), FOREVER))
            }
            node => Ok((self.view(number, node), BRIEFLY)),
        }
    }

    /// Returns the attributes of an entry.
    pub(super) fn attributes(
        &self,
        number: u64,
        snapshot: &Snapshot,
        found: &CachedEntry,
    ) -> FileAttr {
        let links = found
            .hard_link
            .map_or(1, |group| self.links.count(self.contents.nodes().trees(), snapshot, group));
        let data_len = match found.content {
            // Damage is reported by reads.
            Content::List(_) => FileMap::new(found.clone())
                .data_len(self.contents.nodes(), LIST_NODES_MAX)
                .ok()
                .flatten(),
            Content::Refs(_) => {
                FileMap::new(found.clone()).data_len(self.contents.nodes(), 0).ok().flatten()
            }
            _ => None,
        };
        of_entry(number, found, links, data_len.unwrap_or(found.size))
    }

    /// Returns the attributes of a node above the snapshots, or of a snapshot's root.
    pub(super) fn view(&self, number: u64, node: &MountNode) -> FileAttr {
        match node {
            MountNode::Link(target) => {
                of_view(number, FileType::Symlink, target.len() as u64, self.now, self.owner)
            }
            MountNode::Snapshot(snapshot) => {
                of_view(number, FileType::Directory, 0, snapshot.started, self.owner)
            }
            _ => of_view(number, FileType::Directory, 0, self.now, self.owner),
        }
    }

    /// Returns the entry of a node.
    fn found(&self, number: u64, entry: &EntryNode) -> FuseResult<CachedEntry> {
        let found = self
            .contents
            .nodes()
            .find(&entry.dir, &entry.name)
            .map_err(|error| self.failed(number, &error))?;
        found.ok_or(Errno::NOENT)
    }

    /// Returns the tree of a directory in a snapshot.
    pub(super) fn tree_of(&self, number: u64, node: &MountNode) -> FuseResult<ChunkId> {
        match node {
            MountNode::Snapshot(snapshot) => Ok(snapshot.root),
            MountNode::Entry(entry) => match self.found(number, entry)?.content {
                Content::Tree(id) => Ok(id),
                _ => Err(Errno::NOTDIR),
            },
            MountNode::Top(_) | MountNode::Link(_) => Err(Errno::NOTDIR),
        }
    }

    /// Returns the target of a symbolic link.
    pub(super) fn link_target(&self, number: u64) -> FuseResult<Vec<u8>> {
        match &*self.node(number)? {
            MountNode::Link(target) => Ok(target.clone().into_bytes()),
            MountNode::Entry(entry) => match &self.found(number, entry)?.content {
                Content::Inline(target) => Ok(target.clone()),
                _ => Err(Errno::INVAL),
            },
            _ => Err(Errno::INVAL),
        }
    }

    /// Opens a file and returns its handle.
    pub(super) fn open(&self, number: u64) -> FuseResult<u64> {
        let MountNode::Entry(entry) = &*self.node(number)? else {
            return Err(Errno::ISDIR);
        };
        let found = self.found(number, entry)?;
        if found.kind != EntryKind::File {
            return Err(Errno::INVAL);
        }
        let mut next = self.siblings.opened(&found);
        self.contents.prefetch(&mut next, &self.of_siblings);
        drop(next);
        Ok(self.open.open(OpenFile {
            number,
            map: FileMap::new(found),
            reading: Reading::default(),
        }))
    }

    /// Closes a file.
    pub(super) fn close(&self, handle: u64) {
        if let Some(file) = self.open.close(handle) {
            file.reading.discard_pending();
        }
    }

    /// Returns bytes of an open file; fewer than requested only at its end.
    pub(super) fn read(&self, handle: u64, offset: u64, len: u32) -> FuseResult<Vec<u8>> {
        let file = self.open.get(handle).ok_or(Errno::BADF)?;
        let end = offset.saturating_add(len.into()).min(file.map.size());
        if offset >= end {
            return Ok(Vec::new());
        }
        let read = self.contents.read_at(&file.map, &file.reading, offset..end);
        read.map_err(|error| self.failed(file.number, &error))
    }

    /// Returns the start of the next data, or of the next hole, at or after an offset of an open
    /// file.
    pub(super) fn seek(&self, handle: u64, offset: u64, to_data: bool) -> FuseResult<u64> {
        let file = self.open.get(handle).ok_or(Errno::BADF)?;
        if offset >= file.map.size() {
            return Err(Errno::NXIO);
        }
        if file.map.inline().is_some() {
            return Ok(if to_data { offset } else { file.map.size() });
        }
        for span in self.contents.spans(&file.map, offset) {
            let span = span.map_err(|error| self.failed(file.number, &error))?;
            if matches!(span.piece, Ref::Data { .. }) == to_data {
                return Ok(span.start.max(offset));
            }
        }
        // The end of the file counts as a hole.
        if to_data { Err(Errno::NXIO) } else { Ok(file.map.size()) }
    }

    /// Calls `take` with the extended attributes of an inode.
    pub(super) fn with_xattrs<T>(
        &self,
        number: u64,
        take: impl FnOnce(&[Xattr]) -> T,
    ) -> FuseResult<T> {
        match &*self.node(number)? {
            MountNode::Entry(entry) => Ok(take(&self.found(number, entry)?.xattrs)),
            _ => Ok(take(&[])),
        }
    }

    /// Returns the totals of a snapshot, or of all snapshots.
    pub(super) fn totals(&self, number: u64) -> FuseResult<Totals> {
        let of = |snapshot: &Snapshot| snapshot.stats.totals;
        Ok(match &*self.node(number)? {
            MountNode::Snapshot(snapshot) | MountNode::Entry(EntryNode { snapshot, .. }) => {
                of(snapshot)
            }
            MountNode::Top(_) | MountNode::Link(_) => {
                let mut sum = Totals::default();
                let views = self.views();
                views
                    .iter()
                    .flat_map(|views| views.snapshots())
                    .for_each(|snapshot| sum.add(of(snapshot)));
                sum
            }
        })
    }

    /// Reports a failed read; returns the error for the calling program.
    pub(super) fn failed(&self, number: u64, error: &repo::Error) -> Errno {
        let path = self.inodes.path(number);
        let is_missing = error.is_not_found() || matches!(error, repo::Error::MissingChunk { .. });
        if is_missing
            && let (Some(node), Some(catalog)) = (self.inodes.get(number), &self.catalog)
            && let MountNode::Snapshot(snapshot) | MountNode::Entry(EntryNode { snapshot, .. }) =
                &*node
            // The current list may be some seconds old.
            && !catalog.views_now(&self.report).snapshots().iter().any(|one| one.id == snapshot.id)
        {
            self.report
                .say(&path, "its snapshot was forgotten, and a prune has removed its content");
            return Errno::STALE;
        }
        self.report.trouble(&path, error);
        Errno::IO
    }
}

/// Returns the node of an item of a directory above the snapshots.
pub(super) fn top_node(path: &str, name: &[u8], item: ViewItem) -> MountNode {
    match item {
        ViewItem::Dir(_) if path.is_empty() => {
            MountNode::Top(String::from_utf8_lossy(name).into_owned())
        }
        ViewItem::Dir(_) => MountNode::Top(format!("{path}/{}", String::from_utf8_lossy(name))),
        ViewItem::Link(target) => MountNode::Link(target),
        ViewItem::Snapshot(snapshot) => MountNode::Snapshot(snapshot),
    }
}

/// Returns the top node if one path of a snapshot is mounted.
fn top_of(trees: &Trees, snapshot: &Snapshot, path: &[u8]) -> Result<MountNode, Error> {
    let place = browse::find(trees, snapshot, path)?;
    let shown = || String::from_utf8_lossy(&place.path).into_owned();
    let snapshot = Arc::new(snapshot.clone());
    let Some(found) = &place.entry else {
        return Ok(MountNode::Snapshot(snapshot));
    };
    if place.tree.is_none() {
        return Err(Error::NotADir { path: shown() });
    }
    let above = place.path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let above = browse::find(trees, &snapshot, &place.path[..above])?;
    let dir = above.tree.ok_or_else(|| Error::NotADir { path: shown() })?;
    Ok(MountNode::Entry(EntryNode {
        snapshot,
        dir,
        parent: 0,
        name: found.entry.name.clone().into(),
        group: None,
    }))
}
