//! Tasks of one walk, and the directories they work on.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};

use super::context::{Contexts, SourceContext, TargetContext};
use super::excludes::IgnoreChain;
use super::fingerprints::{Fingerprint, FingerprintHasher};
use super::inspected::{DirectoryIdentity, DirectoryScope, ParentState};
use super::ordered_results::{EntryResult, OrderedResults, ParentEntry};
use super::parent_entries::ParentEntries;
use super::queue::Queue;
use super::sources::SourceFilter;
use super::trust::NameTags;
use crate::format::entry::Timestamp;
use crate::format::node::Totals;
use crate::id::ChunkId;
use crate::os::dir::{Dir, DirNames};
use crate::repo::DirEntry;
use crate::sync::lock;

/// Where a result goes: number of the batch, and position in it.
pub(super) type ResultSlot = (usize, usize);

/// A task of the walk.
pub(super) enum Task {
    /// Open a directory and scan its names.
    Enter(Box<NewDirectory>),
    /// Continue a scan that waited for children.
    Continue(Arc<Directory>),
    /// Read a large file.
    Read {
        /// Its directory.
        directory: Arc<Directory>,
        /// Where its entry goes.
        slot: ResultSlot,
        /// Its name.
        name: Vec<u8>,
        /// The parent's side of this name.
        parent: ParentEntry,
    },
}

/// What all directories of one walk share.
pub(super) struct SourceWalk<'a> {
    /// The sources.
    pub source: &'a SourceContext<'a>,
    /// The repository.
    pub target: &'a TargetContext<'a>,
    /// The tasks that are left.
    pub queue: Queue<Task>,
    root: Mutex<Option<EntryResult>>,
}

impl<'a> SourceWalk<'a> {
    /// Starts at `root` with this many threads.
    pub(super) fn new(contexts: Contexts<'a>, root: NewDirectory, threads: usize) -> Self {
        Self {
            source: contexts.source,
            target: contexts.target,
            queue: Queue::new(Task::Enter(Box::new(root)), threads),
            root: Mutex::default(),
        }
    }

    /// Returns both contexts.
    pub(super) fn contexts(&self) -> Contexts<'a> {
        Contexts { source: self.source, target: self.target }
    }

    /// Sets the result of the root.
    pub(super) fn put_root(&self, result: EntryResult) {
        *lock(&self.root) = Some(result);
    }

    /// Returns the result of the root; `None` if the walk stopped early.
    pub(super) fn take_root(&self) -> Option<EntryResult> {
        lock(&self.root).take()
    }
}

/// A directory that is not entered yet.
pub(super) struct NewDirectory {
    /// The directory above and the slot there; `None` for the root.
    pub above: Option<(Arc<Directory>, ResultSlot)>,
    /// Its name; empty for the root.
    pub name: Vec<u8>,
    /// Which part of it is wanted.
    pub scope: DirectoryScope,
    /// What the parent has of it.
    pub parent_state: ParentState,
    /// Its inode number and birth time, if known.
    pub seen: Option<(u64, Option<Timestamp>)>,
    /// Whether names between the last one and this one were deleted.
    pub deleted_before: bool,
    /// Whether it is the same directory as in the parent, as far as the one above can prove.
    pub is_same: bool,
}

/// A directory that is being scanned, or waits for its children.
pub(super) struct Directory {
    pub(super) above: Option<(Arc<Directory>, ResultSlot)>,
    /// Only its name: paths at each level of a deep tree would take too much memory.
    pub(super) name: Box<[u8]>,
    pub(super) own_entry: Mutex<Option<Box<DirEntry>>>,
    pub(super) parent_tree: Option<(ChunkId, Totals)>,
    pub(super) deleted_before: bool,
    /// Open until all children that need it are open, so that deep trees do not use up the file
    /// descriptors.
    pub(super) dir: Mutex<Option<Arc<Dir>>>,
    pub(super) dir_users: AtomicUsize,
    pub(super) device: Option<(u32, u32)>,
    pub(super) chain: Option<Arc<IgnoreChain>>,
    pub(super) marker: Option<Vec<u8>>,
    pub(super) identity: DirectoryIdentity,
    /// Whether a file's content may not fit its times, so that times prove nothing here.
    pub(super) is_unsure: AtomicBool,
    /// Whether all of it is wanted, except names that rules leave out.
    pub(super) is_whole: bool,
    pub(super) is_source: bool,
    pub(super) is_inside: bool,
    pub(super) scan: Mutex<Scan>,
    pub(super) state: Mutex<(OrderedResults, ScanProgress)>,
}

/// State of a scan. Only the thread that scans locks it for long.
pub(super) struct Scan {
    /// Path and names; empty after the scan.
    pub(super) path: Vec<u8>,
    pub(super) names: DirNames,
    pub(super) next: usize,
    pub(super) batch: usize,
    pub(super) parent_entries: ParentEntries,
    pub(super) named: SourceFilter,
    /// Hashes the names that were visited; `None` if the directory gets no new fingerprint.
    pub(super) hasher: Option<Box<FingerprintHasher>>,
    /// Number of all names and their fingerprint, if all times were settled.
    pub(super) new_fingerprint: Option<(u64, Fingerprint)>,
    /// Whether the parent has names after the last one.
    pub(super) has_more: bool,
    /// The parent's fingerprint, if the directory still has it.
    pub(super) fingerprint: Option<Fingerprint>,
    /// The tags of its names, on file systems that need them.
    pub(super) tags: Option<NameTags>,
}

/// Progress of a directory.
#[derive(PartialEq, Eq)]
pub(super) enum ScanProgress {
    /// The scan goes on.
    Scanning,
    /// The scan waits for children.
    Parked,
    /// The tree is written.
    Finished,
}

/// Result of visiting one name.
pub(super) enum VisitResult {
    /// The name is done.
    Done(EntryResult),
    /// The name needs a task.
    Task(Task),
}
