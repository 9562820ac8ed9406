//! Stream of a file's content in bounded memory, which reads ahead while the receiver is busy.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::padded::PaddedPart;
use super::reader::Reader;
use super::trees::Trees;
use crate::container::Segment;
use crate::format::container::ChunkKind;
use crate::format::entry::{Content, Entry, Ref};
use crate::id::ChunkId;
use crate::monitor::Monitor;
use crate::repo::error::{Error, Result};
use crate::repo::index::Location;

/// Segments that are read ahead; each is about 1 MiB and at most 8 MiB.
const AHEAD_MAX: usize = 8;
/// Longest piece that is read at once, in bytes (or one chunk): without a limit, one chunk that is
/// repeated could make a piece of any length.
const PIECE_LEN_MAX_BYTES: usize = 4 << 20;
/// Least number of threads that read, open and decompress.
const THREADS_MIN: usize = 4;
/// Pieces of at least this many bytes are not put into the reader's cache, but decoded into buffers
/// that are reused.
const STREAMED_LEN_MIN_BYTES: usize = 1 << 20;
/// Longest piece of zeros that is written at once, in bytes.
const ZEROS_LEN_BYTES: usize = 1 << 20;

/// Why a file's content was not written.
#[derive(Debug)]
pub enum StreamError {
    /// The content cannot be read.
    Repository(Error),
    /// The output cannot be written.
    Output(io::Error),
}

impl From<Error> for StreamError {
    fn from(error: Error) -> Self {
        Self::Repository(error)
    }
}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Writes the content of a file, or the target of a symbolic link, to `out`, and flushes it.
///
/// Every chunk is verified before any byte of it is written; after a failure, the output is a
/// correct beginning of the file. Holes are written as zeros. Needs at most about 100 MiB of
/// memory, mostly the reader's cache, for a file of any size. Fails with `WrongContent`, which
/// names `path`, if the content is not as long as the entry says.
pub fn stream_file(
    trees: &Trees,
    entry: &Entry,
    path: &[u8],
    out: &mut dyn Write,
    monitor: &Monitor,
) -> std::result::Result<(), StreamError> {
    let mut output = CountedOutput { out, monitor, written: 0 };
    match &entry.content {
        Content::Inline(bytes) => output.write(bytes)?,
        content => stream(trees, content, &mut output)?,
    }
    output.flush()?;
    match output.written == entry.size {
        true => Ok(()),
        false => {
            Err(Error::WrongContent { object: String::from_utf8_lossy(path).into_owned() }.into())
        }
    }
}

/// The receiver, with the number of bytes that it has taken.
struct CountedOutput<'a> {
    out: &'a mut dyn Write,
    monitor: &'a Monitor,
    written: u64,
}

impl CountedOutput<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::result::Result<(), StreamError> {
        if self.monitor.is_cancelled() {
            return Err(Error::Cancelled.into());
        }
        self.out.write_all(bytes).map_err(StreamError::Output)?;
        self.written += bytes.len() as u64;
        self.monitor.bytes_done.fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    fn write_zeros(&mut self, mut len: u64) -> std::result::Result<(), StreamError> {
        let zeros = vec![0; ZEROS_LEN_BYTES.min(usize::try_from(len).unwrap_or(ZEROS_LEN_BYTES))];
        while len > 0 {
            let part = len.min(zeros.len() as u64);
            self.write(&zeros[..part as usize])?;
            len -= part;
        }
        Ok(())
    }

    fn flush(&mut self) -> std::result::Result<(), StreamError> {
        self.out.flush().map_err(StreamError::Output)
    }
}

/// A piece of the file: neighbouring chunks of one segment, or a hole.
enum StreamPiece {
    Chunks(Chunks),
    Hole(u64),
}

/// Verified chunks of one piece, in order.
enum Verified {
    /// A decoded segment and the chunks' positions in it; its buffer goes back to the threads.
    Segment(Segment, Vec<u16>),
    /// A copy out of a segment that stays in the reader's cache, because other pieces are likely to
    /// need it.
    Copied(Vec<u8>),
}

/// A piece that is being read, in the order of the file.
enum Pending {
    Verified(Receiver<Result<Verified>>),
    Hole(u64),
}

type Chunks = Vec<(Location, ChunkId, u32)>;
type ReadJob = (Chunks, Sender<Result<Verified>>);

fn stream(
    trees: &Trees,
    content: &Content,
    output: &mut CountedOutput<'_>,
) -> std::result::Result<(), StreamError> {
    let mut pieces =
        Pieces { reader: trees.reader(), refs: trees.refs(content).peekable(), carried: None };
    let Some(first) = pieces.next() else {
        return Ok(());
    };
    let first = first?;
    let second = pieces.next().transpose()?;
    if second.is_none() {
        // Most files have one piece, and are not worth a thread.
        return match first {
            StreamPiece::Chunks(chunks) => output.write(&copy(trees.reader(), &chunks)?),
            StreamPiece::Hole(len) => output.write_zeros(len),
        };
    }
    let rest = [Ok(first)].into_iter().chain(second.map(Ok)).chain(pieces);
    thread::scope(|scope| {
        let (jobs, queue) = bounded::<ReadJob>(AHEAD_MAX);
        let (give_back, free) = unbounded();
        for _ in 0..trees.reader().repository().readers(THREADS_MIN) {
            let (queue, free) = (queue.clone(), free.clone());
            scope.spawn(move || {
                let mut stored = PaddedPart::default();
                for (chunks, answer) in queue {
                    // Sending fails only if the receiver failed; then the bytes are not needed.
                    let _ = answer.send(read(trees.reader(), &chunks, &mut stored, &free));
                }
            });
        }
        drop(queue);
        write_in_order(rest, &jobs, &give_back, output)
    })
}

/// Keeps [`AHEAD_MAX`] pieces in the queue and writes them in order.
fn write_in_order(
    pieces: impl Iterator<Item = Result<StreamPiece>>,
    jobs: &Sender<ReadJob>,
    give_back: &Sender<Vec<u8>>,
    output: &mut CountedOutput<'_>,
) -> std::result::Result<(), StreamError> {
    let mut pieces = pieces.fuse();
    let mut ahead = VecDeque::new();
    loop {
        while ahead.len() < AHEAD_MAX
            && let Some(piece) = pieces.next()
        {
            ahead.push_back(match piece? {
                StreamPiece::Hole(len) => Pending::Hole(len),
                StreamPiece::Chunks(chunks) => {
                    let (answer, verified) = bounded(1);
                    jobs.send((chunks, answer)).expect("the threads live as long as the sender");
                    Pending::Verified(verified)
                }
            });
        }
        match ahead.pop_front() {
            None => return Ok(()),
            Some(Pending::Hole(len)) => output.write_zeros(len)?,
            Some(Pending::Verified(verified)) => {
                let verified = verified
                    .recv()
                    .map_err(|_| Error::Threads("a reading thread broke".to_owned()))?;
                match verified? {
                    Verified::Copied(bytes) => output.write(&bytes)?,
                    Verified::Segment(segment, positions) => {
                        let chunks = positions
                            .iter()
                            .filter_map(|position| segment.chunk(usize::from(*position)));
                        chunks.map(|(_, bytes)| bytes).try_for_each(|bytes| output.write(bytes))?;
                        let _ = give_back.send(segment.into_buffer());
                    }
                }
            }
        }
    }
}

/// Reads neighbouring chunks of one segment; each is verified, and has the length that its
/// reference states.
fn read(
    reader: &Reader,
    chunks: &Chunks,
    stored: &mut PaddedPart,
    free: &Receiver<Vec<u8>>,
) -> Result<Verified> {
    if chunks.iter().map(|(_, _, len)| *len as usize).sum::<usize>() < STREAMED_LEN_MIN_BYTES {
        return copy(reader, chunks).map(Verified::Copied);
    }
    let place = chunks[0].0;
    match reader.read_range(&place.pack, place.offset, place.stored_len as usize, stored) {
        // A collector may have moved the chunks, each to a different place.
        Err(error) if error.is_not_found() => return copy(reader, chunks).map(Verified::Copied),
        read => read?,
    }
    match open(reader, chunks, stored, free) {
        // Other places may hold intact copies of the chunks.
        Err(error) if error.is_damage() => copy(reader, chunks).map(Verified::Copied),
        opened => opened,
    }
}

/// Opens the segment that holds these chunks, and verifies each chunk.
fn open(
    reader: &Reader,
    chunks: &Chunks,
    stored: &mut [u8],
    free: &Receiver<Vec<u8>>,
) -> Result<Verified> {
    let place = chunks[0].0;
    let segment = reader.open_segment(
        &place.pack,
        place.offset,
        stored,
        free.try_recv().unwrap_or_default(),
    )?;
    for (location, id, len) in chunks {
        if reader.chunk_of(&segment, location, ChunkKind::Data, id)?.len() != *len as usize {
            return Err(Error::WrongChunk { id: *id });
        }
    }
    Ok(Verified::Segment(segment, chunks.iter().map(|(location, _, _)| location.chunk).collect()))
}

/// Copies neighbouring chunks out of a segment that stays in the reader's cache.
fn copy(reader: &Reader, chunks: &Chunks) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(chunks.iter().map(|(_, _, len)| *len as usize).sum());
    for (location, id, len) in chunks {
        let before = bytes.len();
        reader.with_chunk(location, ChunkKind::Data, id, |chunk| bytes.extend_from_slice(chunk))?;
        if bytes.len() - before != *len as usize {
            return Err(Error::WrongChunk { id: *id });
        }
    }
    Ok(bytes)
}

/// Groups a file's references into pieces.
struct Pieces<'a, I: Iterator<Item = Result<Ref>>> {
    reader: &'a Reader,
    refs: std::iter::Peekable<I>,
    /// The located chunk that did not fit into the previous piece.
    carried: Option<(Location, ChunkId, u32)>,
}

impl<I: Iterator<Item = Result<Ref>>> Pieces<'_, I> {
    fn locate(&self, id: ChunkId, len: u32) -> Result<(Location, ChunkId, u32)> {
        let location = self.reader.locate(&id)?.ok_or(Error::MissingChunk { id })?;
        Ok((location, id, len))
    }

    fn step(&mut self) -> Result<Option<StreamPiece>> {
        let first = match self.carried.take() {
            Some(carried) => carried,
            None => match self.refs.next().transpose()? {
                None => return Ok(None),
                Some(Ref::Hole { len }) => return Ok(Some(StreamPiece::Hole(len))),
                Some(Ref::Data { id, len }) => self.locate(id, len)?,
            },
        };
        let mut len_bytes = first.2 as usize;
        let mut chunks = vec![first];
        while let Some(Ok(Ref::Data { id, len })) =
            self.refs.peek().map(|piece| piece.as_ref().copied())
        {
            self.refs.next();
            let next = self.locate(id, len)?;
            len_bytes += len as usize;
            let elsewhere =
                (next.0.pack.name, next.0.offset) != (first.0.pack.name, first.0.offset);
            if elsewhere || len_bytes > PIECE_LEN_MAX_BYTES {
                self.carried = Some(next);
                break;
            }
            chunks.push(next);
        }
        Ok(Some(StreamPiece::Chunks(chunks)))
    }
}

impl<I: Iterator<Item = Result<Ref>>> Iterator for Pieces<'_, I> {
    type Item = Result<StreamPiece>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
