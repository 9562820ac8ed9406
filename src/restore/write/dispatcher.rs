//! Dispatcher of work: sends entries, comparisons and planned reads to the workers, and takes their
//! results.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::batch::BatchBuilder;
use super::compare::{ChunkToFetch, Comparison};
use super::context::RestoreContext;
use super::entries::{EntryJob, Unfilled};
use super::file_job::FileJob;
use super::finish::{piece_damaged, piece_done};
use super::workers::{Unit, UnitResult};
use crate::format::codec::DecodeError;
use crate::format::entry::Ref;
use crate::repo::Error;
use crate::restore::error::Result;
use crate::restore::options::add;
use crate::restore::plan::read_plan::FileChunk;

/// Entries that one worker handles at a time.
const ENTRIES_PER_UNIT: usize = 128;
/// Most pieces, and most bytes of them, that one worker compares at a time.
const PIECES_PER_COMPARISON: usize = 64;
const BYTES_PER_COMPARISON: u64 = 8 << 20;
/// How often a waiting dispatcher checks whether it should stop.
const WAIT: Duration = Duration::from_millis(50);
const SHORT_WAIT: Duration = Duration::from_millis(1);
/// Most hard links that wait for a first member; each takes about 80 bytes.
const LINKS_WAITING_MAX: usize = 64 << 10;

/// Work that is collected for the workers, and the number of results that they owe.
pub(crate) struct Dispatcher<'a> {
    context: &'a RestoreContext<'a>,
    units: Sender<Unit>,
    results: Receiver<UnitResult>,
    outstanding: usize,
    entries: Vec<EntryJob>,
    batch: BatchBuilder,
}

impl<'a> Dispatcher<'a> {
    /// Starts with no work.
    pub(crate) fn new(
        context: &'a RestoreContext<'a>,
        units: Sender<Unit>,
        results: Receiver<UnitResult>,
    ) -> Self {
        Self {
            context,
            units,
            results,
            outstanding: 0,
            entries: Vec::new(),
            batch: BatchBuilder::new(),
        }
    }

    /// Adds an entry.
    pub(crate) fn push_entry(&mut self, item: EntryJob) {
        self.entries.push(item);
        if self.entries.len() >= ENTRIES_PER_UNIT {
            self.send_entries();
        }
    }

    /// Takes the results that have arrived.
    pub(crate) fn take_results(&mut self) {
        while let Ok(result) = self.results.try_recv() {
            self.take_result(result);
        }
    }

    /// Sends all collected work, and waits for all results.
    pub(crate) fn settle(&mut self) -> Result<()> {
        loop {
            self.send_entries();
            if self.outstanding == 0 {
                self.send_batch();
                return self.context.check();
            }
            // The batch is sent after the last result: one large batch reads less than many small
            // ones.
            match self.results.recv_timeout(WAIT) {
                Ok(result) => self.take_result(result),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.context.check(),
            }
            self.take_results();
            self.context.beat();
            self.context.check()?;
        }
    }

    /// Waits while too many hard links wait for their first member, or the entries in progress take
    /// too much memory.
    pub(crate) fn wait_for_room(&mut self) -> Result<()> {
        let links_waiting = || self.context.links_waiting.load(Ordering::Relaxed);
        if links_waiting() < LINKS_WAITING_MAX && !self.context.load.is_high() {
            return Ok(());
        }
        while links_waiting() > LINKS_WAITING_MAX / 2 || !self.context.load.has_room() {
            self.context.check()?;
            self.send_entries();
            self.take_results();
            self.send_batch();
            std::thread::sleep(SHORT_WAIT);
        }
        Ok(())
    }

    fn send_entries(&mut self) {
        if !self.entries.is_empty() {
            let entries = std::mem::take(&mut self.entries);
            self.send(Unit::Entries(entries));
        }
    }

    fn send(&mut self, unit: Unit) {
        if !matches!(unit, Unit::WriteRead(..)) {
            self.outstanding += 1;
        }
        // The workers run until this end of the channel is closed; if they panicked, the restore
        // was stopped.
        let _ = self.units.send(unit);
    }

    fn send_batch(&mut self) {
        if let Some(batch) = self.batch.take_batch(self.context) {
            let batch = Arc::new(batch);
            for read in 0..batch.plan.reads.len() {
                self.send(Unit::WriteRead(batch.clone(), read));
            }
        }
    }

    fn take_result(&mut self, result: UnitResult) {
        self.outstanding -= 1;
        result.unfilled.into_iter().for_each(|unfilled| self.fill(unfilled));
        result.to_fetch.into_iter().for_each(|chunk| self.fetch_chunk(chunk));
    }

    fn fetch_chunk(&mut self, chunk: ChunkToFetch) {
        self.batch.push(chunk);
        if self.batch.is_full() {
            self.send_batch();
        }
    }

    /// Dispatches the pieces of a file: they are fetched, or first compared with an existing file.
    pub(crate) fn fill(&mut self, Unfilled { job, content, compare }: Unfilled) {
        let mut waiting = Vec::new();
        let (mut offset, mut waiting_bytes) = (0, 0);
        for piece in self.context.trees.refs(&content) {
            if self.context.is_stopped() {
                return;
            }
            let piece = match piece.and_then(|piece| fit(piece, offset, job.size)) {
                Ok(piece) => piece,
                Err(error) => return self.fail(&job, waiting.len(), error),
            };
            if compare {
                job.add_pending();
                waiting.push((offset, piece));
                waiting_bytes += piece.len();
                if waiting.len() >= PIECES_PER_COMPARISON || waiting_bytes >= BYTES_PER_COMPARISON {
                    self.send(Unit::Compare(Comparison {
                        job: job.clone(),
                        pieces: std::mem::take(&mut waiting),
                    }));
                    waiting_bytes = 0;
                }
            } else {
                self.fetch(&job, offset, piece);
            }
            offset += piece.len();
        }
        if offset != job.size {
            return self.fail(&job, waiting.len(), misfit());
        }
        if !waiting.is_empty() {
            self.send(Unit::Compare(Comparison { job: job.clone(), pieces: waiting }));
        }
        if job.is_pieced || compare {
            piece_done(self.context, &job);
        }
    }

    /// Fetches a chunk, or skips a hole of a new file. The only piece of a file finishes the file
    /// itself and is not counted.
    fn fetch(&mut self, job: &Arc<FileJob>, offset: u64, piece: Ref) {
        match piece {
            Ref::Data { id, len } => {
                if job.is_pieced {
                    job.add_pending();
                }
                self.fetch_chunk(ChunkToFetch {
                    job: job.clone(),
                    chunk: FileChunk { offset, len, id },
                });
            }
            Ref::Hole { len } => {
                job.count_placed(len);
                add(&self.context.monitor.bytes_done, len);
            }
        }
    }

    /// Fails a file whose list of pieces is damaged; `waiting` pieces were counted and not sent.
    fn fail(&self, job: &Arc<FileJob>, waiting: usize, error: Error) {
        if !error.is_damage() {
            return self.context.stop(error.into());
        }
        piece_damaged(self.context, job, &error);
        (0..=waiting).for_each(|_| piece_done(self.context, job));
    }
}

/// Checks that a piece is inside its file.
fn fit(piece: Ref, offset: u64, size: u64) -> std::result::Result<Ref, Error> {
    match offset.checked_add(piece.len()) {
        Some(end) if end <= size => Ok(piece),
        _ => Err(misfit()),
    }
}

fn misfit() -> Error {
    Error::malformed("the list of its chunks")(DecodeError::new(
        "file",
        "pieces do not add up to its size",
    ))
}
