//! One folder of the walk: its names, compared with the parent's, and what becomes of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::before::Before;
use super::context::{Context, Counts};
use super::describe::{describe, is_unchanged, xattrs_or_problem};
use super::excludes::IgnoreChain;
use super::file::{Place, Worker, read_file, report};
use super::gather::{Done, Earlier, Gather};
use super::queue::Queue;
use super::sources::SourceNode;
use crate::format::entry::{Content, EntryKind};
use crate::format::node::Totals;
use crate::id::ChunkId;
use crate::monitor::ProblemKind;
use crate::os::attributes::read_xattrs;
use crate::os::dir::{Dir, Names};
use crate::os::stat::Stat;
use crate::repo::{DirEntry, Error, Result};

/// Names that are looked at together.
const GROUP_LEN: usize = 256;
/// Groups of one folder that may wait for children; bounds the memory of a folder with a million subfolders.
const OPEN_GROUPS_MAX: usize = 8;
/// Files of at least this many bytes become tasks of their own, so that several threads can share one folder.
const OWN_TASK_LEN_BYTES: u64 = 8 << 20;

/// Where a result goes: group and position in it.
pub type Slot = (usize, usize);

/// The names of a folder that were asked for, and what was asked for below each.
pub type Way = BTreeMap<Vec<u8>, SourceNode>;

/// A piece of work.
pub enum Task {
    /// Open a folder and look at its names.
    Enter(Box<NewFolder>),
    /// Go on with a folder that had enough children under way.
    Continue(Arc<Folder>),
    /// Read a large file.
    Read {
        /// Its folder.
        folder: Arc<Folder>,
        /// Where its entry goes.
        slot: Slot,
        /// Its name.
        name: Vec<u8>,
        /// What the parent had under this name.
        earlier: Earlier,
    },
}

/// What all folders of one walk share.
pub struct Walk<'a> {
    /// What the whole backup shares.
    pub context: &'a Context<'a>,
    /// The work left.
    pub queue: Queue<Task>,
    root: Mutex<Option<Done>>,
}

impl<'a> Walk<'a> {
    /// Starts at `root`.
    pub fn new(context: &'a Context<'a>, root: NewFolder) -> Self {
        Self { context, queue: Queue::new(Task::Enter(Box::new(root))), root: Mutex::default() }
    }

    /// Returns the root folder's result, once it is there.
    pub fn take_root(&self) -> Option<Done> {
        lock(&self.root).take()
    }
}

/// A folder that was seen but not entered yet.
pub struct NewFolder {
    /// The folder above and the slot there; `None` for the root.
    pub above: Option<(Arc<Folder>, Slot)>,
    /// Its name; empty for the root.
    pub name: Vec<u8>,
    /// The names that were asked for; `None` for all.
    pub way: Option<Way>,
    /// The parent's entry.
    pub before: Option<DirEntry>,
    /// Whether names that the parent had before this one are gone.
    pub gap: bool,
    /// Whether the folder above lies on the way to a source, so that this one is where a source begins.
    pub is_source: bool,
}

/// A folder that is being worked on.
pub struct Folder {
    above: Option<(Arc<Folder>, Slot)>,
    path: Vec<u8>,
    own: Mutex<Option<DirEntry>>,
    before: Option<DirEntry>,
    gap: bool,
    /// Open until everything that needs it was opened in turn, so that deep trees do not use up the open files.
    dir: Mutex<Option<Arc<Dir>>>,
    dir_users: AtomicUsize,
    device: Option<(u32, u32)>,
    chain: Option<Arc<IgnoreChain>>,
    marker: Option<Vec<u8>>,
    names: Names,
    scan: Mutex<Scan>,
    state: Mutex<(Gather, Progress)>,
}

/// How far the names were looked at; only the thread that scans locks it.
struct Scan {
    next: usize,
    group: usize,
    before: Before,
    way: BTreeMap<Vec<u8>, SourceNode>,
    is_way: bool,
}

#[derive(PartialEq, Eq)]
enum Progress {
    Scanning,
    Parked,
    Finished,
}

/// What looking at one name gave.
enum Visit {
    Done(Done),
    Task(Task),
}

/// What entering a folder found out about it.
pub struct Found {
    /// Its absolute path.
    pub path: Vec<u8>,
    /// Its own entry: without content, or the parent's where nothing about the folder itself changed.
    pub own: DirEntry,
    /// The open folder, where it may be entered.
    pub dir: Option<Dir>,
    /// The file system it lies on; `None` for folders on the way to a source.
    pub device: Option<(u32, u32)>,
    /// The ignore files that count in it.
    pub chain: Option<Arc<IgnoreChain>>,
    /// The one name to keep of a folder whose content is left out.
    pub marker: Option<Vec<u8>>,
    /// Its names.
    pub names: Names,
}

impl Folder {
    /// Makes a folder whose names can be looked at.
    pub fn new(walk: &Walk, new: NewFolder, found: Found) -> Arc<Self> {
        let tree = new.before.as_ref().and_then(tree_of);
        let before = Before::new(&walk.context.trees, tree.map(|(tree, _)| tree));
        let is_way = new.way.is_some();
        Arc::new(Self {
            above: new.above,
            path: found.path,
            own: Mutex::new(Some(found.own)),
            before: new.before,
            gap: new.gap,
            dir: Mutex::new(found.dir.map(Arc::new)),
            dir_users: AtomicUsize::new(1),
            device: found.device,
            chain: found.chain,
            marker: found.marker,
            names: found.names,
            scan: Mutex::new(Scan { next: 0, group: 0, before, is_way, way: new.way.unwrap_or_default() }),
            state: Mutex::new((Gather::new(tree), Progress::Scanning)),
        })
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
        [&self.path, b"/".as_slice(), name].concat()
    }

    /// Returns the open folder; `None` if it could not be opened or is not to be entered.
    pub fn dir(&self) -> Option<Arc<Dir>> {
        lock(&self.dir).clone()
    }

    /// States that one user of the open folder (the scan, or a child that had to be opened) is done; the last closes it.
    pub fn release_dir(&self) {
        if self.dir_users.fetch_sub(1, Ordering::AcqRel) == 1 {
            lock(&self.dir).take();
        }
    }

    /// Looks at names until all are done or enough children are under way.
    pub fn scan(self: Arc<Self>, walk: &Walk, worker: &mut Worker) -> Result<()> {
        let mut scan = lock(&self.scan);
        while scan.next < self.names.len() {
            if walk.queue.is_stopped() || walk.context.monitor.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if self.park_if_full() {
                return Ok(());
            }
            let (group, first) = (scan.group, scan.next);
            let len = GROUP_LEN.min(self.names.len() - first);
            scan.group += 1;
            scan.next += len;
            lock(&self.state).0.open(group, len);
            let mut tasks = Vec::new();
            for position in 0..len {
                let name = self.names.get(first + position);
                match self.visit(walk, worker, &mut scan, (name, (group, position)))? {
                    Visit::Done(done) => lock(&self.state).0.fill(group, position, done),
                    Visit::Task(task) => {
                        self.dir_users.fetch_add(1, Ordering::AcqRel);
                        tasks.push(task);
                    }
                }
            }
            walk.queue.push(tasks);
            if scan.next < self.names.len() {
                lock(&self.state).0.advance(walk.context, worker)?;
            }
        }
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
    pub fn fill(self: Arc<Self>, walk: &Walk, worker: &mut Worker, slot: Slot, done: Done) -> Result<()> {
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
                *lock(&walk.root) = Some(done);
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
        if !gather.advance(walk.context, worker)? {
            if *progress == Progress::Parked && gather.open_groups() < OPEN_GROUPS_MAX {
                *progress = Progress::Scanning;
                walk.queue.push(vec![Task::Continue(self.clone())]);
            }
            return Ok(None);
        }
        *progress = Progress::Finished;
        let gap = lock(&self.scan).before.has_more();
        let (tree, totals) = gather.finish(walk.context, worker, gap)?;
        drop(state);
        Ok(Some(self.finished_entry(walk, tree, totals)))
    }

    fn finished_entry(&self, walk: &Walk, tree: ChunkId, totals: Totals) -> Done {
        let mut entry = lock(&self.own).take().expect("a folder is finished once");
        let own_is_before = entry.entry.content != Content::None;
        entry.entry.content = Content::Tree(tree);
        entry.totals = Some(totals);
        let same = own_is_before && !self.gap && self.before.as_ref().and_then(tree_of).is_some_and(|(before, _)| before == tree);
        walk.context.monitor.dirs_done.fetch_add(1, Ordering::Relaxed);
        Done::Entry { entry: Box::new(entry), same }
    }

    fn visit(self: &Arc<Self>, walk: &Walk, worker: &mut Worker, scan: &mut Scan, at: (&[u8], Slot)) -> Result<Visit> {
        let (context, (name, slot)) = (walk.context, at);
        let (before, gap) = scan.before.take(name);
        let skipped = Done::Skipped { gap: gap || before.is_some() };
        let node = scan.way.remove(name);
        if let Some(SourceNode::Made(entry)) = node {
            return Ok(Visit::Done(Done::Entry { entry, same: false }));
        }
        if self.marker.as_deref().is_some_and(|marker| marker != name) {
            return Ok(Visit::Done(skipped));
        }
        let path = self.path_of(name);
        if let Some(SourceNode::Way(way)) = node {
            return Ok(self.enter_later((slot, name), (Some(way), before, false), gap));
        }
        let Some(dir) = self.dir() else {
            return Ok(Visit::Done(skipped));
        };
        let stat = match dir.stat(name) {
            Ok(stat) => stat,
            Err(error) => {
                let _ = report(context, &path, &error);
                return Ok(Visit::Done(skipped));
            }
        };
        let is_dir = stat.kind == EntryKind::Dir;
        if !scan.is_way && context.excludes.leaves_out(&path, &stat, is_dir, self.chain.as_deref()) {
            return Ok(Visit::Done(skipped));
        }
        if is_dir {
            return Ok(self.enter_later((slot, name), (None, before, scan.is_way), gap));
        }
        context.monitor.files_done.fetch_add(1, Ordering::Relaxed);
        let earlier = match before {
            Some(before) if is_unchanged(context, &before.entry, &stat) => {
                Counts::add(&context.counts.unchanged, 1);
                context.monitor.bytes_done.fetch_add(before.entry.size, Ordering::Relaxed);
                return Ok(Visit::Done(Done::Entry { entry: Box::new(before), same: !gap }));
            }
            before => Earlier { entry: before.map(Box::new), gap },
        };
        if scan.is_way && stat.kind == EntryKind::Symlink {
            context.monitor.problem(
                ProblemKind::Notice,
                &path,
                "this source is a symbolic link: the link is stored, not what it leads to",
            );
        }
        if stat.kind == EntryKind::File && stat.size >= OWN_TASK_LEN_BYTES {
            return Ok(Visit::Task(Task::Read { folder: self.clone(), slot, name: name.to_vec(), earlier }));
        }
        let entry = read(walk, worker, &stat, Place { dir: &dir, name, path: &path })?;
        Ok(Visit::Done(Done::of_read(&context.counts, entry, earlier)))
    }

    fn enter_later(
        self: &Arc<Self>,
        (slot, name): (Slot, &[u8]),
        (way, before, is_source): (Option<Way>, Option<DirEntry>, bool),
        gap: bool,
    ) -> Visit {
        let above = Some((self.clone(), slot));
        Visit::Task(Task::Enter(Box::new(NewFolder { above, name: name.to_vec(), way, before, gap, is_source })))
    }
}

/// Makes the entry of anything but a folder; `None` after recording why there is none.
fn read(walk: &Walk, worker: &mut Worker, stat: &Stat, place: Place) -> Result<Option<DirEntry>> {
    let context = walk.context;
    let content = match stat.kind {
        EntryKind::File => return read_file(context, worker, place),
        EntryKind::Symlink => match place.dir.read_link(place.name) {
            Ok(target) => Content::Inline(target),
            Err(error) => return Ok(report(context, place.path, &error)),
        },
        _ => Content::None,
    };
    let xattrs = xattrs_or_problem(context, place.path, read_xattrs(place.dir, place.name, stat.kind));
    Ok(Some(describe(context, place.name, stat, content, xattrs)))
}

fn tree_of(entry: &DirEntry) -> Option<(ChunkId, Totals)> {
    match entry.entry.content {
        Content::Tree(id) => Some((id, entry.totals.unwrap_or_default())),
        _ => None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
