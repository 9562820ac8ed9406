//! Scan of one directory: its names in batches, their results, and the directory's own result.
//!
//! A directory is never waited for: the thread that completes its last child finishes it, and then
//! the directory above if that is complete, too.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::context::TargetContext;
use super::excludes::IgnoreChain;
use super::fingerprints::{FingerprintHasher, NewKnownDirectory};
use super::inspected::{
    DirectoryIdentity, DirectoryScope, FingerprintMatch, InspectedDirectory, KnownSubdirectory,
    ParentState,
};
use super::ordered_results::{EntryResult, OrderedResults};
use super::parent_entries::ParentEntries;
use super::path;
use super::sources::SourceFilter;
use super::task::{
    Directory, NewDirectory, ResultSlot, Scan, ScanProgress, SourceWalk, Task, VisitResult,
};
use super::timestamps::trust_before;
use super::trust::NameTags;
use super::worker::Worker;
use crate::format::entry::Content;
use crate::format::node::Totals;
use crate::id::ChunkId;
use crate::os::dir::{Dir, DirNames};
use crate::repo::{DirEntry, Error, Result};
use crate::sync::lock;

/// DirNames that are visited together.
const BATCH_LEN: usize = 256;
/// Batches of one directory that may wait for children. Bounds the memory of a directory with a
/// million subdirectories.
const OPEN_BATCHES_MAX: usize = 8;
/// Most names of a directory that has a fingerprint. Larger directories are always compared with
/// the parent's tree.
pub(super) const FINGERPRINTED_NAMES_MAX: usize = 4096;

impl Directory {
    /// Creates a directory that is ready to be scanned.
    pub(super) fn new(
        walk: &SourceWalk,
        new: NewDirectory,
        found: InspectedDirectory,
        matched: Option<&FingerprintMatch>,
    ) -> Arc<Self> {
        let tree = new.parent_state.tree();
        if new.scope.is_source {
            walk.source.losses.note_parent_files(&found.path, new.parent_state.files());
        }
        let is_whole = !found.only_named;
        let (parent_entries, hasher, results) = match matched {
            Some(matched) => {
                let positions = matched.subdirectories.iter().map(|child| child.position).collect();
                (
                    ParentEntries::none(),
                    None,
                    OrderedResults::of_fingerprinted(matched.known, positions),
                )
            }
            None => (
                ParentEntries::new(walk.target.parent.as_ref(), tree.map(|(tree, _)| tree)),
                new_hasher(walk, &new.scope, &found).map(Box::new),
                OrderedResults::new(tree),
            ),
        };
        let fingerprint = matched.and_then(|matched| matched.known.fingerprint);
        let named = new.scope.named;
        let tags = (matched.is_none() && !found.identity.is_trusted)
            .then(|| NameTags::new(found.identity.path_hash));
        Arc::new(Self {
            above: new.above,
            name: new.name.into(),
            own_entry: Mutex::new(found.own_entry),
            parent_tree: tree,
            deleted_before: new.deleted_before,
            dir: Mutex::new(found.dir.map(Arc::new)),
            dir_users: AtomicUsize::new(1),
            device: found.device,
            chain: found.chain,
            marker: found.marker,
            identity: found.identity,
            is_unsure: AtomicBool::new(false),
            is_whole,
            is_source: new.scope.is_source,
            is_inside: new.scope.is_inside,
            scan: Mutex::new(Scan {
                path: found.path,
                names: found.names,
                next: 0,
                batch: 0,
                parent_entries,
                named,
                hasher,
                new_fingerprint: None,
                has_more: false,
                fingerprint,
                tags,
            }),
            state: Mutex::new((results, ScanProgress::Scanning)),
        })
    }

    /// Enters the subdirectories of a directory whose fingerprint is the parent's.
    pub(super) fn scan_matched(
        self: Arc<Self>,
        walk: &SourceWalk,
        worker: &mut Worker,
        matched: FingerprintMatch,
    ) -> Result<()> {
        let enter = |(index, child): (usize, KnownSubdirectory)| {
            self.dir_users.fetch_add(1, Ordering::AcqRel);
            Task::Enter(Box::new(NewDirectory {
                above: Some((self.clone(), (0, index))),
                name: child.name,
                scope: DirectoryScope { is_inside: true, ..DirectoryScope::default() },
                parent_state: ParentState::Fingerprinted(child.known, child.stat),
                seen: Some((child.stat.inode, child.stat.btime)),
                deleted_before: false,
                is_same: true,
            }))
        };
        let tasks = matched.subdirectories.into_iter().enumerate().map(enter).collect();
        walk.queue.push(worker.index, tasks);
        let path = lock(&self.scan).finish();
        worker.last_path = Some((Arc::downgrade(&self), path));
        self.release_dir();
        self.finish_upwards(walk, worker)
    }

    /// Returns the device that the directory is on; `None` above a source.
    pub(super) fn device(&self) -> Option<(u32, u32)> {
        self.device
    }

    /// Returns the ignore files that apply in the directory.
    pub(super) fn chain(&self) -> Option<&Arc<IgnoreChain>> {
        self.chain.as_ref()
    }

    /// Returns the absolute path of a name in this directory.
    pub(super) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut names = vec![name];
        let mut directory = self;
        while let Some((above, _)) = &directory.above {
            names.push(&directory.name);
            directory = above;
        }
        let mut path = path::empty(names.iter().map(|name| name.len() + 1).sum());
        for name in names.into_iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        path
    }

    /// Returns the open directory; `None` if it could not be opened or must not be entered.
    pub(super) fn dir(&self) -> Option<Arc<Dir>> {
        lock(&self.dir).clone()
    }

    /// Releases the open directory for one user: the scan, or a child that had to be opened. The
    /// last one closes it.
    pub(super) fn release_dir(&self) {
        if self.dir_users.fetch_sub(1, Ordering::AcqRel) == 1 {
            lock(&self.dir).take();
        }
    }

    /// Visits names until all are visited, or until enough batches wait for children.
    pub(super) fn scan(self: Arc<Self>, walk: &SourceWalk, worker: &mut Worker) -> Result<()> {
        let (mut scan, mut name) = (lock(&self.scan), Vec::new());
        while scan.next < scan.names.len() {
            if walk.queue.is_stopped() || walk.source.monitor.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if self.park_if_full() {
                return Ok(());
            }
            let (batch, first) = (scan.batch, scan.next);
            let len = BATCH_LEN.min(scan.names.len() - first);
            scan.batch += 1;
            scan.next += len;
            lock(&self.state).0.open(batch, len);
            let mut tasks = Vec::new();
            for position in 0..len {
                name.clear();
                name.extend_from_slice(scan.names.get(first + position));
                let scanned = scan.next_name(&name, (batch, position));
                match self.visit(walk, worker, &mut scan, scanned)? {
                    VisitResult::Done(result) => lock(&self.state).0.fill(batch, position, result),
                    VisitResult::Task(task) => {
                        self.dir_users.fetch_add(1, Ordering::AcqRel);
                        tasks.push(task);
                    }
                }
            }
            walk.queue.push(worker.index, tasks);
            if scan.next < scan.names.len() {
                lock(&self.state).0.advance(&mut worker.writer)?;
            }
        }
        worker.last_path = Some((Arc::downgrade(&self), scan.finish()));
        lock(&self.state).0.close(scan.batch);
        drop(scan);
        self.release_dir();
        self.finish_upwards(walk, worker)
    }

    /// Stops the scan if enough batches wait; [`Self::try_finish`] continues it.
    fn park_if_full(&self) -> bool {
        let mut state = lock(&self.state);
        if state.0.open_batches() >= OPEN_BATCHES_MAX {
            state.1 = ScanProgress::Parked;
        }
        state.1 == ScanProgress::Parked
    }

    /// Takes the result of a child that was a separate task.
    pub(super) fn fill(
        self: Arc<Self>,
        walk: &SourceWalk,
        worker: &mut Worker,
        slot: ResultSlot,
        result: EntryResult,
    ) -> Result<()> {
        lock(&self.state).0.fill(slot.0, slot.1, result);
        self.finish_upwards(walk, worker)
    }

    /// Finishes the directory if all results are in, then the one above, and so on.
    fn finish_upwards(self: Arc<Self>, walk: &SourceWalk, worker: &mut Worker) -> Result<()> {
        let mut directory = self;
        loop {
            let Some(result) = directory.try_finish(walk, worker)? else {
                return Ok(());
            };
            let Some((above, slot)) = &directory.above else {
                walk.put_root(result);
                return Ok(());
            };
            lock(&above.state).0.fill(slot.0, slot.1, result);
            let above = above.clone();
            directory = above;
        }
    }

    fn try_finish(
        self: &Arc<Self>,
        walk: &SourceWalk,
        worker: &mut Worker,
    ) -> Result<Option<EntryResult>> {
        let mut state = lock(&self.state);
        let (results, progress) = &mut *state;
        if *progress == ScanProgress::Finished {
            return Ok(None);
        }
        if !results.advance(&mut worker.writer)? {
            if *progress == ScanProgress::Parked && results.open_batches() < OPEN_BATCHES_MAX {
                *progress = ScanProgress::Scanning;
                walk.queue.push(worker.index, vec![Task::Continue(self.clone())]);
            }
            return Ok(None);
        }
        *progress = ScanProgress::Finished;
        let deleted_before = lock(&self.scan).has_more;
        let (tree, totals) = results.finish(&mut worker.writer, deleted_before)?;
        self.record_fingerprint(walk.target, results.kept(), tree, totals);
        drop(state);
        if self.is_source {
            let path =
                self.above.as_ref().map_or_else(Vec::new, |(above, _)| above.path_of(&self.name));
            walk.source.losses.note_stored(&path, totals.files);
        }
        walk.source.monitor.dirs_done.fetch_add(1, Ordering::Relaxed);
        let is_parents =
            !self.deleted_before && self.parent_tree.is_some_and(|(parent, _)| parent == tree);
        Ok(Some(finished(lock(&self.own_entry).take(), is_parents, tree, totals)))
    }

    /// Records the directory for the next backup. `kept` is the number of its names in the
    /// snapshot: a fingerprint of other names is not valid.
    fn record_fingerprint(&self, target: &TargetContext, kept: u64, tree: ChunkId, totals: Totals) {
        let mut scan = lock(&self.scan);
        let is_sure = !self.is_unsure.load(Ordering::Relaxed);
        let new_fingerprint = scan
            .new_fingerprint
            .filter(|(count, _)| *count == kept && is_sure)
            .map(|(_, fingerprint)| fingerprint);
        let DirectoryIdentity { path_hash, inode, known, .. } = self.identity;
        let mut new = NewKnownDirectory::new(
            path_hash,
            inode,
            new_fingerprint.or(scan.fingerprint),
            tree,
            totals,
        );
        let parent_tags = known.as_ref().and_then(|known| target.directories.tags(known));
        new.tags = match scan.tags.take() {
            Some(tags) => Some(tags.finish()),
            // The fingerprint proves that the names are the parent's.
            None => parent_tags.filter(|_| scan.fingerprint.is_some()).map(<[u64]>::to_vec),
        };
        let is_new = new_fingerprint.is_some() || new.tags.as_deref() != parent_tags;
        target.directories.add(new, is_new);
    }

    /// Drops the new fingerprint: a file's content may not fit its times.
    pub(super) fn mark_unsure(&self) {
        self.is_unsure.store(true, Ordering::Relaxed);
    }
}

impl Scan {
    /// Frees the memory of the scan, since a directory waits for everything below it. Returns its
    /// path.
    fn finish(&mut self) -> Vec<u8> {
        self.has_more = self.parent_entries.has_more();
        self.parent_entries = ParentEntries::none();
        (self.names, self.named) = (DirNames::default(), SourceFilter::default());
        self.new_fingerprint = self
            .hasher
            .take()
            .and_then(|mut hasher| Some((hasher.count(), hasher.finish_settled()?)));
        std::mem::take(&mut self.path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // In a loop, since recursion through a million nested directories overflows the stack.
        let mut above = self.above.take();
        while let Some(mut directory) = above.and_then(|(directory, _)| Arc::into_inner(directory))
        {
            above = directory.above.take();
        }
    }
}

/// Returns a hasher for the new fingerprint, if the directory can have one.
fn new_hasher(
    walk: &SourceWalk,
    scope: &DirectoryScope,
    found: &InspectedDirectory,
) -> Option<FingerprintHasher> {
    let has_all_names = !found.only_named && scope.named.is_empty() && found.marker.is_none();
    let is_small = found.names.len() <= FINGERPRINTED_NAMES_MAX;
    let trusted = found.device.filter(|_| found.identity.is_trusted);
    (has_all_names && is_small && found.dir.is_some())
        .then(|| walk.target.directories.hasher(trust_before(walk.source.started), trusted))
}

/// Returns the path of the directory `name` in the directory `above`.
///
/// Mostly uses the thread's last path: going up from each of 50,000 nested directories takes
/// minutes.
pub(super) fn path_below(above: &Arc<Directory>, name: &[u8], worker: &Worker) -> Vec<u8> {
    if let Some((last, path)) = &worker.last_path
        && let Some(last) = last.upgrade()
    {
        if Arc::ptr_eq(&last, above) {
            return path::join(path, name);
        }
        if last.above.as_ref().is_some_and(|(parent, _)| Arc::ptr_eq(parent, above)) {
            return path::join(&path[..path.len() - 1 - last.name.len()], name);
        }
    }
    above.path_of(name)
}

/// Returns the result of a directory whose tree is complete.
///
/// `is_parents` says that this is the parent's tree, and that the parent has no deleted names
/// before this directory. Without `own_entry` the directory above vouches for the entry.
pub(super) fn finished(
    own_entry: Option<Box<DirEntry>>,
    is_parents: bool,
    tree: ChunkId,
    totals: Totals,
) -> EntryResult {
    let Some(mut entry) = own_entry else {
        return if is_parents {
            EntryResult::Unchanged
        } else {
            EntryResult::SubtreeChanged { tree, totals }
        };
    };
    // An entry that was taken over from the parent still has the content.
    let is_own_parents = entry.entry.content != Content::None;
    entry.entry.content = Content::Tree(tree);
    entry.totals = Some(totals);
    EntryResult::Entry { entry, is_unchanged: is_own_parents && is_parents }
}
