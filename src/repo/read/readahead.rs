//! Readahead for files that are read from front to back.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::file_map::FileMap;
use super::node_cache::Nodes;
use super::segment_cache::{GAP_MAX_BYTES, Segments};
use crate::format::entry::Ref;
use crate::id::ChunkId;
use crate::repo::{Error, Location, Result};
use crate::sync::lock;

/// First window, in bytes.
const WINDOW_MIN_BYTES: u64 = 1 << 20;
/// Widest window, in bytes; less if the memory for segments is small.
const WINDOW_MAX_BYTES: u64 = 32 << 20;
/// Distance from the end of the last read within which the next one counts as in order, in bytes:
/// the kernel asks for several pieces at once, in any order.
const SLACK_BYTES: u64 = 2 << 20;
/// Most bytes of a pack in one request.
const RUN_LEN_MAX_BYTES: u32 = 4 << 20;
/// Requests that wait for a thread.
const QUEUE_MAX: usize = 64;

/// Progress of the reads of one open file.
#[derive(Debug, Default)]
pub struct Sequence {
    /// End of the furthest read in order.
    end: u64,
    window: u64,
    /// End of what was fetched ahead.
    ahead: u64,
    reads: u64,
}

impl Sequence {
    /// Notes a read and returns what to fetch now; `window_max` is in bytes.
    ///
    /// The window doubles each time that half of it was used, and is reset by a read that is not in
    /// order.
    pub fn read(&mut self, read: Range<u64>, window_max: u64) -> ReadaheadStep {
        let is_next = read.start <= self.end.saturating_add(SLACK_BYTES)
            && read.end.saturating_add(SLACK_BYTES) >= self.end;
        let (end, reads) = (self.end.max(read.end), self.reads);
        if !is_next || (reads == 0 && read.start > 0) {
            *self = Self { end: read.end, window: 0, ahead: read.end, reads: 1 };
            return ReadaheadStep::Elsewhere;
        }
        self.reads += 1;
        self.ahead = self.ahead.max(end);
        let has_moved = end > self.end;
        self.end = end;
        if reads == 0 || !has_moved || self.ahead - end >= self.window.div_ceil(2).max(1) {
            return ReadaheadStep::Nothing;
        }
        self.window = (self.window * 2).clamp(WINDOW_MIN_BYTES.min(window_max), window_max);
        let wanted = self.ahead..end.saturating_add(self.window).max(self.ahead);
        self.ahead = wanted.end;
        ReadaheadStep::Fetch(wanted)
    }
}

/// What to do after a read.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadaheadStep {
    /// Enough is being fetched.
    Nothing,
    /// The read was not in order: earlier requests are of no use.
    Elsewhere,
    /// Fetch this part of the file.
    Fetch(Range<u64>),
}

/// State of the reads of one open file.
#[derive(Default)]
pub struct Reading {
    sequence: Mutex<Sequence>,
    /// Number of reads that were not in order; requests from before the last one are dropped.
    turns: Arc<AtomicU64>,
}

impl Reading {
    /// Drops the requests that wait for a thread.
    pub fn discard_pending(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }
}

struct FetchJob {
    run: Vec<Location>,
    turns: Arc<AtomicU64>,
    at: u64,
}

impl FetchJob {
    fn is_wanted(&self) -> bool {
        self.turns.load(Ordering::Relaxed) == self.at
    }
}

/// A few threads that fetch segments; they end when this value is dropped.
pub struct ReadaheadThreads {
    jobs: Sender<FetchJob>,
    window_max: u64,
}

impl ReadaheadThreads {
    /// Starts `threads` threads that read into `segments`, which keep at most `limit_bytes`.
    pub fn start(segments: &Arc<Segments>, threads: usize, limit_bytes: usize) -> Result<Self> {
        let (jobs, queue) = bounded::<FetchJob>(QUEUE_MAX);
        for at in 0..threads {
            let (queue, segments) = (queue.clone(), segments.clone());
            let thread = std::thread::Builder::new().name(format!("ahead-{at}"));
            thread
                .spawn(move || work(&queue, &segments))
                .map_err(|error| Error::Threads(error.to_string()))?;
        }
        let window_max = WINDOW_MAX_BYTES.min(limit_bytes as u64 / 8);
        Ok(Self { jobs, window_max })
    }

    /// Notes a read of an open file, and requests what comes next if the file is read in order.
    ///
    /// Requests that do not fit into the queue are dropped, and errors are ignored: the read that
    /// needs the bytes reports them.
    pub fn on_read(
        &self,
        nodes: &Nodes,
        segments: &Segments,
        file: &FileMap,
        reading: &Reading,
        read: Range<u64>,
    ) {
        let next = lock(&reading.sequence).read(read, self.window_max);
        let wanted = match next {
            ReadaheadStep::Nothing => return,
            ReadaheadStep::Elsewhere => return reading.discard_pending(),
            ReadaheadStep::Fetch(wanted) => wanted,
        };
        let spans = file
            .spans(nodes, wanted.start)
            .map_while(Result::ok)
            .take_while(|span| span.start < wanted.end);
        let mut ids = spans
            .filter_map(|span| if let Ref::Data { id, .. } = span.piece { Some(id) } else { None });
        self.ask(segments, &mut ids, reading);
    }

    /// Requests the segments of chunks that will be needed soon, in this order.
    pub fn ask(
        &self,
        segments: &Segments,
        ids: &mut dyn Iterator<Item = ChunkId>,
        reading: &Reading,
    ) {
        let mut run = SegmentRun::default();
        for id in ids {
            let Ok(location) = segments.locate(&id) else { break };
            if let Some(full) = run.push(location)
                && !self.send(segments, full, reading)
            {
                return;
            }
        }
        self.send(segments, run.0, reading);
    }

    fn send(&self, segments: &Segments, mut run: Vec<Location>, reading: &Reading) -> bool {
        run.retain(|location| !segments.is_cached_or_loading(location));
        let (turns, at) = (reading.turns.clone(), reading.turns.load(Ordering::Relaxed));
        run.is_empty() || self.jobs.try_send(FetchJob { run, turns, at }).is_ok()
    }
}

fn work(queue: &Receiver<FetchJob>, segments: &Segments) {
    for job in queue {
        if job.is_wanted() {
            segments.fetch(&job.run);
        }
    }
}

/// Segments that one request can read.
#[derive(Default)]
struct SegmentRun(Vec<Location>);

impl SegmentRun {
    /// Adds the segment of a chunk; returns the run so far if the segment does not belong to it.
    fn push(&mut self, location: Location) -> Option<Vec<Location>> {
        if let (Some(first), Some(last)) = (self.0.first(), self.0.last()) {
            let is_same_pack = last.pack.name == location.pack.name;
            if is_same_pack && last.offset == location.offset {
                return None;
            }
            let end = last.offset.saturating_add(last.stored_len);
            let is_near = location.offset >= end && location.offset - end <= GAP_MAX_BYTES;
            let is_short =
                location.offset.saturating_add(location.stored_len).saturating_sub(first.offset)
                    <= RUN_LEN_MAX_BYTES;
            if !(is_same_pack && is_near && is_short) {
                return Some(std::mem::replace(&mut self.0, vec![location]));
            }
        }
        self.0.push(location);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn read(sequence: &mut Sequence, from: u64, to: u64) -> ReadaheadStep {
        sequence.read(from..to, 8 * MIB)
    }

    #[test]
    fn the_window_grows_while_a_file_is_read_in_order() {
        let mut sequence = Sequence::default();
        let (mut at, mut fetched, mut widest) = (0, 0, 0);
        for _ in 0..400 {
            if let ReadaheadStep::Fetch(wanted) = read(&mut sequence, at, at + MIB / 8) {
                assert!(wanted.start >= fetched, "nothing is fetched twice");
                fetched = wanted.end;
            }
            at += MIB / 8;
            widest = widest.max(fetched.saturating_sub(at));
        }
        assert!(fetched >= at + 4 * MIB && widest <= 8 * MIB, "{fetched} {at} {widest}");
    }

    #[test]
    fn the_first_read_fetches_nothing() {
        assert_eq!(read(&mut Sequence::default(), 0, MIB), ReadaheadStep::Nothing);
        assert_eq!(read(&mut Sequence::default(), 50 * MIB, 51 * MIB), ReadaheadStep::Elsewhere);
    }

    #[test]
    fn a_jump_ends_it_and_small_disorder_does_not() {
        let mut sequence = Sequence::default();
        read(&mut sequence, 0, MIB);
        assert!(matches!(
            read(&mut sequence, MIB + MIB / 4, MIB + MIB / 2),
            ReadaheadStep::Fetch(_)
        ));
        assert_eq!(read(&mut sequence, MIB, MIB + MIB / 4), ReadaheadStep::Nothing);
        assert_eq!(read(&mut sequence, 90 * MIB, 91 * MIB), ReadaheadStep::Elsewhere);
        assert_eq!(read(&mut sequence, 10 * MIB, 11 * MIB), ReadaheadStep::Elsewhere);
        assert!(matches!(read(&mut sequence, 11 * MIB, 12 * MIB), ReadaheadStep::Fetch(_)));
    }
}
