//! The pieces of work of one walk.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};

use super::before::Before;
use super::context::Context;
use super::excludes::IgnoreChain;
use super::found::{Identity, Scope, Was};
use super::gather::{Done, Earlier, Gather};
use super::known::{Print, Printer};
use super::queue::Queue;
use super::sources::Named;
use super::trust::Tags;
use crate::format::entry::Timestamp;
use crate::format::node::Totals;
use crate::id::ChunkId;
use crate::os::dir::{Dir, DirNames};
use crate::repo::DirEntry;
use crate::sync::lock;

/// Where a result goes: group and position in it.
pub type Slot = (usize, usize);

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
    /// Starts at `root` with this many threads.
    pub fn new(context: &'a Context<'a>, root: NewFolder, threads: usize) -> Self {
        Self {
            context,
            queue: Queue::new(Task::Enter(Box::new(root)), threads),
            root: Mutex::default(),
        }
    }

    /// Keeps the root folder's result.
    pub fn put_root(&self, done: Done) {
        *lock(&self.root) = Some(done);
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
    /// What of it is wanted.
    pub scope: Scope,
    /// What is known of it.
    pub was: Was,
    /// Its inode number and when it was made, if it was looked at.
    pub seen: Option<(u64, Option<Timestamp>)>,
    /// Whether names that the parent had before this one are gone.
    pub gap: bool,
    /// Whether it is the folder that the parent had here, as far as the one above can tell.
    pub is_same: bool,
}

/// A folder that is being worked on.
pub struct Folder {
    pub(super) above: Option<(Arc<Folder>, Slot)>,
    /// Its name; its path is that of the folder above and this: a deep folder has no room for all
    /// of it at each level.
    pub(super) name: Box<[u8]>,
    pub(super) own: Mutex<Option<Box<DirEntry>>>,
    pub(super) tree_before: Option<(ChunkId, Totals)>,
    pub(super) gap: bool,
    /// Open until everything that needs it was opened in turn, so that deep trees do not use up the
    /// open files.
    pub(super) dir: Mutex<Option<Arc<Dir>>>,
    pub(super) dir_users: AtomicUsize,
    pub(super) device: Option<(u32, u32)>,
    pub(super) chain: Option<Arc<IgnoreChain>>,
    pub(super) marker: Option<Vec<u8>>,
    pub(super) identity: Identity,
    /// Whether a file's content and stamps do not fit together, so that stamps prove nothing here.
    pub(super) is_unsure: AtomicBool,
    /// Whether all of it is wanted, but for what rules leave out.
    pub(super) is_whole: bool,
    pub(super) is_source: bool,
    pub(super) is_inside: bool,
    pub(super) scan: Mutex<Scan>,
    pub(super) state: Mutex<(Gather, Progress)>,
}

/// How far the names were looked at; only the thread that scans locks it.
pub(super) struct Scan {
    /// The folder's path and names; empty when all were looked at.
    pub(super) path: Vec<u8>,
    pub(super) names: DirNames,
    pub(super) next: usize,
    pub(super) group: usize,
    pub(super) before: Before,
    pub(super) named: Named,
    /// The folder's fingerprint as far as its names were looked at; none for folders that are never
    /// known.
    pub(super) printer: Option<Box<Printer>>,
    /// That of all names and how many there were, if it was settled.
    pub(super) fresh: Option<(u64, Print)>,
    /// Whether the parent has names behind the last one.
    pub(super) has_more: bool,
    /// The fingerprint that was found to be the parent's.
    pub(super) print: Option<Print>,
    /// The tags of its names, where they are needed.
    pub(super) tags: Option<Tags>,
}

/// What is going on with a folder.
#[derive(PartialEq, Eq)]
pub(super) enum Progress {
    Scanning,
    Parked,
    Finished,
}

/// What looking at one name gave.
pub enum Visit {
    /// All there is to do.
    Done(Done),
    /// Work for later.
    Task(Task),
}
