//! Worker threads: they receive units of work through a bounded channel and send back results that
//! need planning.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::compare::{ChunkToFetch, Comparison, compare};
use super::context::RestoreContext;
use super::entries::{EntryJob, Unfilled, handle};
use super::read_back::{Recheck, recheck};
use super::write_chunks::{Batch, Buffers, write_read};
use crate::restore::error::{Error, Result};

/// A unit of work.
pub(crate) enum Unit {
    /// Entries to inspect and, if they need no chunks, to create.
    Entries(Vec<EntryJob>),
    /// Pieces of an existing file to compare.
    Compare(Comparison),
    /// One read of a batch, by its position in the plan.
    WriteRead(Arc<Batch>, usize),
    /// A part of an entry to verify.
    Recheck(Recheck),
}

/// The result of a [`Unit::Entries`] or [`Unit::Compare`]; each sends exactly one.
#[derive(Default)]
pub(crate) struct UnitResult {
    /// Files that need chunks.
    pub unfilled: Vec<Unfilled>,
    /// Chunks that existing files lack.
    pub to_fetch: Vec<ChunkToFetch>,
}

/// Most units in the channel: each keeps its batch, or its entries, in memory.
const UNITS_MAX: usize = 64;
const UNITS_MAX_LOW: usize = 8;
/// Most threads with `low_memory`.
const THREADS_MAX_LOW: usize = 2;

/// Runs `plan`, which sends units, while worker threads run; returns when all work is done.
pub(crate) fn with_workers(
    context: &RestoreContext,
    plan: impl FnOnce(Sender<Unit>, Receiver<UnitResult>) -> Result<()>,
) -> Result<()> {
    let low = context.options.low_memory;
    let readers = context.trees.reader().repository().readers(context.options.threads);
    let threads = if low { readers.min(THREADS_MAX_LOW) } else { readers };
    let (unit_sender, units) = bounded(if low { UNITS_MAX_LOW } else { UNITS_MAX });
    let (back, back_receiver) = unbounded();
    let planned = std::thread::scope(|scope| {
        for number in 0..threads {
            let (units, back) = (units.clone(), back.clone());
            let started = std::thread::Builder::new()
                .name(format!("restore-{number}"))
                .spawn_scoped(scope, move || work(context, &units, &back));
            if let Err(error) = started {
                context.stop(Error::Threads(error));
            }
        }
        drop((units, back));
        plan(unit_sender, back_receiver)
    });
    planned.and_then(|()| context.check())
}

/// Works until the channel closes. After the restore was stopped, units are only drained.
fn work(context: &RestoreContext, units: &Receiver<Unit>, back: &Sender<UnitResult>) {
    let _alarm = Alarm(context);
    let mut buffers = Buffers::default();
    for unit in units {
        let mut answer = UnitResult::default();
        match unit {
            Unit::WriteRead(batch, read) => {
                if !context.is_stopped() {
                    write_read(context, &batch, &batch.plan.reads[read], &mut buffers);
                }
                continue;
            }
            Unit::Recheck(work) => {
                if !context.is_stopped() {
                    recheck(context, &work, &mut buffers.bytes);
                }
                continue;
            }
            Unit::Compare(comparison) => {
                compare(context, &comparison, &mut buffers.bytes, &mut answer.to_fetch)
            }
            Unit::Entries(entries) => {
                for entry in entries {
                    if context.is_stopped() {
                        break;
                    }
                    answer.unfilled.extend(handle(context, entry));
                }
            }
        }
        if back.send(answer).is_err() {
            return;
        }
    }
}

/// Stops the restore if this thread panics, so that no other one waits for its result.
struct Alarm<'a>(&'a RestoreContext<'a>);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(Error::Threads(std::io::Error::other("a thread broke")));
        }
    }
}
