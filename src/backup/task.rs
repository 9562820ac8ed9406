//! The pieces of work of one walk.

use std::sync::{Arc, Mutex, PoisonError};

use super::context::Context;
use super::folder::Folder;
use super::found::{Scope, Was};
use super::gather::{Done, Earlier};
use super::queue::Queue;

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
        Self { context, queue: Queue::new(Task::Enter(Box::new(root)), threads), root: Mutex::default() }
    }

    /// Keeps the root folder's result.
    pub fn put_root(&self, done: Done) {
        *self.root.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
    }

    /// Returns the root folder's result, once it is there.
    pub fn take_root(&self) -> Option<Done> {
        self.root.lock().unwrap_or_else(PoisonError::into_inner).take()
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
    /// Whether names that the parent had before this one are gone.
    pub gap: bool,
    /// Whether it is the folder that the parent had here, as far as the one above can tell.
    pub is_same: bool,
}
