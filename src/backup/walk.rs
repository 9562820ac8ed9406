//! The threads of a backup: each takes folders and large files from one stack, deepest first.
//!
//! A folder is never waited for: when its last child is done, the thread that did it finishes the
//! directory too. So the walk needs no more memory than the folders on its way, however large the
//! tree is.

use std::sync::Mutex;

use super::context::Contexts;
use super::describe::is_doubtful;
use super::enter::enter;
use super::file::{Place, read_file};
use super::gather::Done;
use super::target_writer::TargetWriter;
use super::task::{NewFolder, Task, Walk};
use super::worker::Worker;
use crate::chunker::Cutter;
use crate::format::config::Profile;
use crate::repo::{DirEntry, Error, Result};
use crate::sync::{self, lock};

/// Walks from `root` with one thread per lane; returns the root's entry, and whether it is the
/// parent's.
pub fn run(
    contexts: Contexts,
    root: NewFolder,
    profile: Profile,
    lanes: usize,
) -> Result<(DirEntry, bool)> {
    let walk = Walk::new(contexts, root, lanes);
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for index in 1..lanes {
            let (walk, failure) = (&walk, &failure);
            let work = move || work(walk, failure, profile, index, lanes);
            if std::thread::Builder::new()
                .name(format!("read-{index}"))
                .spawn_scoped(scope, work)
                .is_err()
            {
                break;
            }
        }
        work(&walk, &failure, profile, 0, lanes);
    });
    if let Some(error) = sync::into_inner(failure) {
        return Err(error);
    }
    match walk.take_root() {
        Some(Done::Entry { entry, same }) if !contexts.source.monitor.is_cancelled() => {
            Ok((*entry, same))
        }
        _ => Err(Error::Cancelled),
    }
}

/// One thread's work, until there is none left.
fn work(walk: &Walk, failure: &Mutex<Option<Error>>, profile: Profile, index: usize, lanes: usize) {
    let session = walk.target.session;
    let cutter = Cutter::new(profile, session.reader().repository().keyring().gear());
    let mut worker = Worker {
        writer: TargetWriter::new(walk.target, cutter, lanes > 2),
        buffer: Vec::new(),
        last_path: None,
        index,
    };
    let mut has_finished = false;
    while let Some(task) = walk.queue.next(index, has_finished) {
        if let Err(error) = perform(walk, &mut worker, task) {
            fail(failure, error);
            walk.queue.stop();
        }
        has_finished = true;
    }
}

fn perform(walk: &Walk, worker: &mut Worker, task: Task) -> Result<()> {
    if walk.source.monitor.is_cancelled() {
        return Err(Error::Cancelled);
    }
    match task {
        Task::Enter(new) => enter(*new, walk, worker),
        Task::Continue(folder) => folder.scan(walk, worker),
        Task::Read { folder, slot, name, earlier } => {
            let path = folder.path_of(&name);
            walk.source.monitor.working_on(&path);
            let entry = match folder.dir() {
                Some(dir) => {
                    read_file(walk.source, worker, Place { dir: &dir, name: &name, path: &path })?
                }
                None => None,
            };
            if entry.as_ref().is_some_and(is_doubtful) {
                folder.be_unsure();
            }
            folder.release_dir();
            folder.fill(walk, worker, slot, Done::of_read(&walk.target.counts, entry, earlier))
        }
    }
}

/// Keeps the error that the user must see: "stopped" and "cancelled" are consequences of another.
fn fail(failure: &Mutex<Option<Error>>, error: Error) {
    let is_consequence = |error: &Error| matches!(error, Error::Stopped | Error::Cancelled);
    let mut failure = lock(failure);
    if failure.as_ref().is_none_or(|known| is_consequence(known) && !is_consequence(&error)) {
        *failure = Some(error);
    }
}
