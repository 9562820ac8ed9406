//! Parallel depth-first walk of the sources.
//!
//! Threads take directories and large files from one queue and never wait for a directory (see
//! `directory`). So the walk needs memory only for the directories on its path, in a tree of any
//! size.

use std::sync::Mutex;

use super::context::Contexts;
use super::describe::is_doubtful;
use super::enter::enter;
use super::file::{NameInDir, read_file};
use super::ordered_results::EntryResult;
use super::target_writer::TargetWriter;
use super::task::{NewDirectory, SourceWalk, Task};
use super::worker::Worker;
use crate::chunker::Cutting;
use crate::repo::{DirEntry, Error, Result};
use crate::sync::{self, lock};

/// Walks from `root` with one thread per lane; returns the root's entry, and whether it is the
/// parent's.
pub(super) fn run(
    contexts: Contexts,
    root: NewDirectory,
    cutting: Cutting,
    lanes: usize,
) -> Result<(DirEntry, bool)> {
    let walk = SourceWalk::new(contexts, root, lanes);
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for index in 1..lanes {
            let (walk, failure) = (&walk, &failure);
            let work = move || work(walk, failure, cutting, index, lanes);
            if std::thread::Builder::new()
                .name(format!("read-{index}"))
                .spawn_scoped(scope, work)
                .is_err()
            {
                break;
            }
        }
        work(&walk, &failure, cutting, 0, lanes);
    });
    if let Some(error) = sync::into_inner(failure) {
        return Err(error);
    }
    match walk.take_root() {
        Some(EntryResult::Entry { entry, is_unchanged })
            if !contexts.source.monitor.is_cancelled() =>
        {
            Ok((*entry, is_unchanged))
        }
        _ => Err(Error::Cancelled),
    }
}

/// Works until no task is left.
fn work(
    walk: &SourceWalk,
    failure: &Mutex<Option<Error>>,
    cutting: Cutting,
    index: usize,
    lanes: usize,
) {
    let mut worker = Worker {
        writer: TargetWriter::new(walk.target, cutting, lanes > 2),
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

fn perform(walk: &SourceWalk, worker: &mut Worker, task: Task) -> Result<()> {
    if walk.source.monitor.is_cancelled() {
        return Err(Error::Cancelled);
    }
    match task {
        Task::Enter(new) => enter(*new, walk, worker),
        Task::Continue(directory) => directory.scan(walk, worker),
        Task::Read { directory, slot, name, parent } => {
            let path = directory.path_of(&name);
            walk.source.monitor.working_on(&path);
            let entry = match directory.dir() {
                Some(dir) => read_file(
                    walk.source,
                    worker,
                    NameInDir { dir: &dir, name: &name, path: &path },
                )?,
                None => None,
            };
            if entry.as_ref().is_some_and(is_doubtful) {
                directory.mark_unsure();
            }
            directory.release_dir();
            directory.fill(
                walk,
                worker,
                slot,
                EntryResult::of_read(&walk.target.counts, entry, parent),
            )
        }
    }
}

/// Keeps the error to report: "stopped" and "cancelled" are consequences of another.
fn fail(failure: &Mutex<Option<Error>>, error: Error) {
    let is_consequence = |error: &Error| matches!(error, Error::Stopped | Error::Cancelled);
    let mut failure = lock(failure);
    if failure.as_ref().is_none_or(|known| is_consequence(known) && !is_consequence(&error)) {
        *failure = Some(error);
    }
}
