//! The threads of a backup: a stack of folders and large files, worked off deepest first.
//!
//! A folder is never waited for: when its last child is done, whoever did it finishes the folder too. So the walk needs
//! no more memory than the folders on its way, however large the tree is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::chunk_stream::ChunkStream;
use super::context::Context;
use super::file::{Place, Worker, read_file};
use super::folder::{Done, Folder, NewFolder, Slot};
use crate::chunker::Cutter;
use crate::format::config::Profile;
use crate::repo::{DirEntry, Error, Lane, Result};

/// A piece of work.
pub enum Task {
    /// Open a folder and look at its names.
    Enter(NewFolder),
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
    },
}

/// One walk over all sources.
pub struct Walk<'a> {
    /// What the threads share.
    pub context: &'a Context<'a>,
    stack: Mutex<Stack>,
    more: Condvar,
    failure: Mutex<Option<Error>>,
    stopped: AtomicBool,
    root: Mutex<Option<Done>>,
}

#[derive(Default)]
struct Stack {
    tasks: Vec<Task>,
    active: usize,
}

impl<'a> Walk<'a> {
    /// Walks from `root` with one thread per lane, and returns the root's entry.
    pub fn run(context: &'a Context<'a>, root: NewFolder, profile: Profile, lanes: usize) -> Result<(DirEntry, bool)> {
        let walk = Self {
            context,
            stack: Mutex::new(Stack { tasks: vec![Task::Enter(root)], active: 0 }),
            more: Condvar::new(),
            failure: Mutex::default(),
            stopped: AtomicBool::new(false),
            root: Mutex::default(),
        };
        std::thread::scope(|scope| {
            for index in 1..lanes {
                let work = || walk.work(profile, lanes);
                if std::thread::Builder::new().name(format!("read-{index}")).spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            walk.work(profile, lanes);
        });
        if let Some(error) = walk.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        if context.monitor.is_cancelled() {
            return Err(Error::Cancelled);
        }
        match walk.root.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(Done::Entry { entry, same }) => Ok((*entry, same)),
            _ => Err(Error::Cancelled),
        }
    }

    /// Adds tasks; the first of them is done first.
    pub fn push(&self, tasks: Vec<Task>) {
        if tasks.is_empty() {
            return;
        }
        let mut stack = self.lock_stack();
        stack.tasks.extend(tasks.into_iter().rev());
        drop(stack);
        self.more.notify_all();
    }

    /// Receives the root folder's result.
    pub fn finish_root(&self, done: Done) {
        *self.root.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
    }

    /// Returns whether the walk is to end early.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.context.monitor.is_cancelled()
    }

    fn lock_stack(&self) -> std::sync::MutexGuard<'_, Stack> {
        self.stack.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, profile: Profile, lanes: usize) {
        let session = self.context.session;
        let cutter = Cutter::new(profile, session.reader().repository().keyring().gear());
        let mut worker = Worker { lane: Lane::new(session), stream: ChunkStream::new(cutter, lanes > 2), buffer: Vec::new() };
        while let Some(task) = self.next() {
            if let Err(error) = self.perform(&mut worker, task) {
                self.fail(error);
            }
            self.lock_stack().active -= 1;
            self.more.notify_all();
        }
    }

    /// Returns the next task, or `None` when there will never be one.
    fn next(&self) -> Option<Task> {
        let mut stack = self.lock_stack();
        loop {
            if self.is_stopped() {
                stack.tasks.clear();
            }
            if let Some(task) = stack.tasks.pop() {
                stack.active += 1;
                return Some(task);
            }
            if stack.active == 0 {
                return None;
            }
            stack = self.more.wait(stack).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn perform(&self, worker: &mut Worker, task: Task) -> Result<()> {
        if self.context.monitor.is_cancelled() {
            return Err(Error::Cancelled);
        }
        match task {
            Task::Enter(new) => new.enter(self, worker),
            Task::Continue(folder) => folder.scan(self, worker),
            Task::Read { folder, slot, name } => {
                let path = folder.path_of(&name);
                self.context.monitor.working_on(&path);
                let entry = match folder.dir() {
                    Some(dir) => read_file(self.context, worker, Place { dir: &dir, name: &name, path: &path })?,
                    None => None,
                };
                folder.release_dir();
                folder.fill(self, worker, slot, Done::of_changed(entry))
            }
        }
    }

    fn fail(&self, error: Error) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        // "Stopped" and "cancelled" are consequences; the cause is what the user must see.
        let is_consequence = |error: &Error| matches!(error, Error::Stopped | Error::Cancelled);
        if failure.as_ref().is_none_or(|known| is_consequence(known) && !is_consequence(&error)) {
            *failure = Some(error);
        }
        self.stopped.store(true, Ordering::Relaxed);
    }
}
