//! One folder of the walk: its names, compared with the parent's, and what becomes of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::before::Before;
use super::context::Context;
use super::excludes::IgnoreChain;
use super::found::{Covered, CoveredChild, Found, Identity, Scope, Was};
use super::gather::{Done, Gather};
use super::known::NewKnown;
use super::path;
use super::sources::Named;
use super::stamps::trust_before;
use super::task::{Folder, NewFolder, Progress, Scan, Slot, Task, Visit, Walk};
use super::trust::Tags;
use super::worker::Worker;
use crate::format::entry::Content;
use crate::format::node::Totals;
use crate::id::ChunkId;
use crate::os::dir::{Dir, DirNames};
use crate::repo::{DirEntry, Error, Result};
use crate::sync::lock;

/// Names that are looked at together.
const GROUP_LEN: usize = 256;
/// Groups of one folder that may wait for children; bounds the memory of a folder with a million
/// subfolders.
const OPEN_GROUPS_MAX: usize = 8;
/// Names of a folder that is remembered by its fingerprint; larger ones are always compared with
/// the parent's tree.
pub const KNOWN_NAMES_MAX: usize = 4096;

impl Folder {
    /// Makes a folder whose names can be looked at.
    pub fn new(walk: &Walk, new: NewFolder, found: Found, covered: Option<&Covered>) -> Arc<Self> {
        let tree = new.was.tree();
        if new.scope.is_source {
            walk.context.losses.had(&found.path, new.was.files());
        }
        let is_whole = !found.only_named;
        let (before, printer, gather) = match covered {
            Some(covered) => {
                let positions = covered.subfolders.iter().map(|child| child.position).collect();
                (
                    Before::new(&walk.context.trees, None),
                    None,
                    Gather::covered(covered.known, positions),
                )
            }
            None => {
                let can_be_known = is_whole
                    && new.scope.named.is_empty()
                    && found.dir.is_some()
                    && found.marker.is_none()
                    && found.names.len() <= KNOWN_NAMES_MAX;
                let trusted = found.device.filter(|_| found.identity.is_trusted);
                let printer = can_be_known.then(|| {
                    Box::new(
                        walk.context.known.printer(trust_before(walk.context.started), trusted),
                    )
                });
                (
                    Before::new(&walk.context.trees, tree.map(|(tree, _)| tree)),
                    printer,
                    Gather::new(tree),
                )
            }
        };
        let print = covered.and_then(|covered| covered.known.print);
        let named = new.scope.named;
        let tags = (covered.is_none() && !found.identity.is_trusted)
            .then(|| Tags::new(found.identity.place));
        Arc::new(Self {
            above: new.above,
            name: new.name.into(),
            own: Mutex::new(found.own),
            tree_before: tree,
            gap: new.gap,
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
                group: 0,
                before,
                named,
                printer,
                fresh: None,
                has_more: false,
                print,
                tags,
            }),
            state: Mutex::new((gather, Progress::Scanning)),
        })
    }

    /// Enters the subfolders of a folder whose own names are known to be the parent's.
    pub fn scan_covered(
        self: Arc<Self>,
        walk: &Walk,
        worker: &mut Worker,
        covered: Covered,
    ) -> Result<()> {
        let enter = |(index, child): (usize, CoveredChild)| {
            self.dir_users.fetch_add(1, Ordering::AcqRel);
            let (above, was) =
                (Some((self.clone(), (0, index))), Was::Covered(child.known, child.stat));
            let (name, scope) = (child.name, Scope { is_inside: true, ..Scope::default() });
            let seen = Some((child.stat.inode, child.stat.btime));
            Task::Enter(Box::new(NewFolder {
                above,
                name,
                scope,
                was,
                seen,
                gap: false,
                is_same: true,
            }))
        };
        walk.queue
            .push(worker.index, covered.subfolders.into_iter().enumerate().map(enter).collect());
        let path = lock(&self.scan).end();
        worker.last_path = Some((Arc::downgrade(&self), path));
        self.release_dir();
        self.settle(walk, worker)
    }

    /// Returns the file system that the folder lies on; `None` on the way to a source.
    pub fn device(&self) -> Option<(u32, u32)> {
        self.device
    }

    /// Returns the ignore files that count in the folder.
    pub fn chain(&self) -> Option<&Arc<IgnoreChain>> {
        self.chain.as_ref()
    }

    /// Returns the absolute path of a name in this folder.
    pub fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut names = vec![name];
        let mut folder = self;
        while let Some((above, _)) = &folder.above {
            names.push(&folder.name);
            folder = above;
        }
        let mut path = path::empty(names.iter().map(|name| name.len() + 1).sum());
        for name in names.into_iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        path
    }

    /// Returns the open folder; `None` if it could not be opened or is not to be entered.
    pub fn dir(&self) -> Option<Arc<Dir>> {
        lock(&self.dir).clone()
    }

    /// States that one user of the open folder (the scan, or a child that had to be opened) is
    /// done; the last closes it.
    pub fn release_dir(&self) {
        if self.dir_users.fetch_sub(1, Ordering::AcqRel) == 1 {
            lock(&self.dir).take();
        }
    }

    /// Looks at names until all are done or enough children are under way.
    pub fn scan(self: Arc<Self>, walk: &Walk, worker: &mut Worker) -> Result<()> {
        let (mut scan, mut name) = (lock(&self.scan), Vec::new());
        while scan.next < scan.names.len() {
            if walk.queue.is_stopped() || walk.context.monitor.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if self.park_if_full() {
                return Ok(());
            }
            let (group, first) = (scan.group, scan.next);
            let len = GROUP_LEN.min(scan.names.len() - first);
            scan.group += 1;
            scan.next += len;
            lock(&self.state).0.open(group, len);
            let mut tasks = Vec::new();
            for position in 0..len {
                name.clear();
                name.extend_from_slice(scan.names.get(first + position));
                let met = scan.meet(&name, (group, position));
                match self.visit(walk, worker, &mut scan, met)? {
                    Visit::Done(done) => lock(&self.state).0.fill(group, position, done),
                    Visit::Task(task) => {
                        self.dir_users.fetch_add(1, Ordering::AcqRel);
                        tasks.push(task);
                    }
                }
            }
            walk.queue.push(worker.index, tasks);
            if scan.next < scan.names.len() {
                lock(&self.state).0.advance(walk.context, &mut worker.lane)?;
            }
        }
        worker.last_path = Some((Arc::downgrade(&self), scan.end()));
        lock(&self.state).0.close(scan.group);
        drop(scan);
        self.release_dir();
        self.settle(walk, worker)
    }

    fn park_if_full(&self) -> bool {
        let mut state = lock(&self.state);
        if state.0.open_groups() >= OPEN_GROUPS_MAX {
            state.1 = Progress::Parked;
        }
        state.1 == Progress::Parked
    }

    /// Takes the result of a child that was a task.
    pub fn fill(
        self: Arc<Self>,
        walk: &Walk,
        worker: &mut Worker,
        slot: Slot,
        done: Done,
    ) -> Result<()> {
        lock(&self.state).0.fill(slot.0, slot.1, done);
        self.settle(walk, worker)
    }

    /// Folds what is complete; a folder that is complete goes into the one above, and so on.
    fn settle(self: Arc<Self>, walk: &Walk, worker: &mut Worker) -> Result<()> {
        let mut folder = self;
        loop {
            let Some(done) = folder.try_finish(walk, worker)? else {
                return Ok(());
            };
            let Some((above, slot)) = &folder.above else {
                walk.put_root(done);
                return Ok(());
            };
            lock(&above.state).0.fill(slot.0, slot.1, done);
            let above = above.clone();
            folder = above;
        }
    }

    fn try_finish(self: &Arc<Self>, walk: &Walk, worker: &mut Worker) -> Result<Option<Done>> {
        let mut state = lock(&self.state);
        let (gather, progress) = &mut *state;
        if *progress == Progress::Finished {
            return Ok(None);
        }
        if !gather.advance(walk.context, &mut worker.lane)? {
            if *progress == Progress::Parked && gather.open_groups() < OPEN_GROUPS_MAX {
                *progress = Progress::Scanning;
                walk.queue.push(worker.index, vec![Task::Continue(self.clone())]);
            }
            return Ok(None);
        }
        *progress = Progress::Finished;
        let gap = lock(&self.scan).has_more;
        let (tree, totals) = gather.finish(walk.context, &mut worker.lane, gap)?;
        self.remember(walk.context, gather.kept(), tree, totals);
        drop(state);
        if self.is_source {
            let path =
                self.above.as_ref().map_or_else(Vec::new, |(above, _)| above.path_of(&self.name));
            walk.context.losses.stored(&path, totals.files);
        }
        walk.context.monitor.dirs_done.fetch_add(1, Ordering::Relaxed);
        let is_before = !self.gap && self.tree_before.is_some_and(|(before, _)| before == tree);
        Ok(Some(finished(lock(&self.own).take(), is_before, tree, totals)))
    }

    /// Notes the folder for the next backup; `kept` is how many of its names are in the snapshot.
    fn remember(&self, context: &Context, kept: u64, tree: ChunkId, totals: Totals) {
        let mut scan = lock(&self.scan);
        let is_sure = !self.is_unsure.load(Ordering::Relaxed);
        let fresh =
            scan.fresh.filter(|(count, _)| *count == kept && is_sure).map(|(_, print)| print);
        let Identity { place, inode, known, .. } = self.identity;
        let mut new = NewKnown::new(place, inode, fresh.or(scan.print), tree, totals);
        let before = known.as_ref().and_then(|known| context.known.tags(known));
        new.tags = match scan.tags.take() {
            Some(tags) => Some(tags.finish()),
            // The fingerprint says that the names are those of before.
            None => before.filter(|_| scan.print.is_some()).map(<[u64]>::to_vec),
        };
        let is_news = fresh.is_some() || new.tags.as_deref() != before;
        context.known.add(new, is_news);
    }

    /// States that a file's content and stamps do not fit together.
    pub fn be_unsure(&self) {
        self.is_unsure.store(true, Ordering::Relaxed);
    }
}

impl Scan {
    /// Gives up what is not needed any more: a folder waits for all that is below it. Returns its
    /// path.
    fn end(&mut self) -> Vec<u8> {
        self.has_more = self.before.has_more();
        self.before = Before::nothing();
        (self.names, self.named) = (DirNames::default(), Named::default());
        self.fresh = self
            .printer
            .take()
            .and_then(|mut printer| Some((printer.count(), printer.finish_settled()?)));
        std::mem::take(&mut self.path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // One by one: a chain of a million folders must not be dropped by recursion.
        let mut above = self.above.take();
        while let Some(mut folder) = above.and_then(|(folder, _)| Arc::into_inner(folder)) {
            above = folder.above.take();
        }
    }
}

/// Returns the path of the folder `name` in the folder `above`.
///
/// Mostly this thread was there, or right below it, last: to go up from each of 50,000 folders in
/// each other takes minutes.
pub fn path_below(above: &Arc<Folder>, name: &[u8], worker: &Worker) -> Vec<u8> {
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

/// Makes the result of a folder whose tree is done; `is_before` says that this is the parent's
/// tree, and no gap lies before it.
pub fn finished(
    own: Option<Box<DirEntry>>,
    is_before: bool,
    tree: ChunkId,
    totals: Totals,
) -> Done {
    let Some(mut entry) = own else {
        return if is_before { Done::Same } else { Done::Below { tree, totals } };
    };
    let own_is_before = entry.entry.content != Content::None;
    entry.entry.content = Content::Tree(tree);
    entry.totals = Some(totals);
    Done::Entry { entry, same: own_is_before && is_before }
}
