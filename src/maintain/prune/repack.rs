//! Storing the live chunks of packs again that are going to be removed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::format::container::{ChunkRecord, HEADER_LEN_BYTES, SegmentRecord};
use crate::format::generation::Victim;
use crate::id::{ChunkId, ObjectId};
use crate::monitor::Monitor;
use crate::repo::reach::Marks;
use crate::repo::session::SessionStats;
use crate::repo::{Error, Lane, Location, Reader, Result, Session};

/// Chunks whose places are held at once (about 130 bytes each).
const CHUNKS_MAX: usize = 200_000;
/// Raw bytes from which on a segment is large enough to stay alone: half of what a backup makes.
const ALONE_MIN_BYTES: [u32; 2] = [1 << 20, 1 << 19];

type Place = (Location, ChunkId);

/// Stores every marked chunk of `packs` again, about in the order in which they lie there.
///
/// Segments of which everything is marked keep their compressed form: their seals are verified, and the ids of chunks where a
/// segment is compressed again. The index must avoid the packs already, so that the
/// session does not take them for places.
pub fn repack(
    reader: &Arc<Reader>,
    session: Session,
    (packs, marks): (&[Victim], &Marks),
    lanes: usize,
    monitor: &Monitor,
) -> Result<SessionStats> {
    let packs: HashSet<ObjectId> = packs.iter().map(|victim| victim.name).collect();
    // The session adds runs of its own: their chunks are not to be moved.
    let runs = reader.index().runs();
    let mover = Mover { reader, session: &session, lanes, monitor };
    let mut places: Vec<Place> = Vec::new();
    let mut number = 0;
    for run in &runs {
        for block in 0..run.block_count() {
            for record in run.read_block(block)?.iter() {
                let location = run.location(record);
                if marks.is_set(number) && packs.contains(&location.pack.name) {
                    places.push((location, record.id));
                }
                number += 1;
            }
            if places.len() >= CHUNKS_MAX {
                mover.store_all(&mut places)?;
            }
        }
    }
    mover.store_all(&mut places)?;
    Ok(session.finish()?.stats())
}

struct Mover<'a> {
    reader: &'a Reader,
    session: &'a Session,
    lanes: usize,
    monitor: &'a Monitor,
}

impl Mover<'_> {
    /// Stores these chunks again, on all threads, and forgets their places.
    fn store_all(&self, places: &mut Vec<Place>) -> Result<()> {
        places.sort_unstable_by_key(|(place, _)| (place.pack.name, place.offset, place.chunk));
        let packs: Vec<&[Place]> = places.chunk_by(|(a, _), (b, _)| a.pack.name == b.pack.name).collect();
        let next = AtomicUsize::new(0);
        let failure = Mutex::new(None);
        thread::scope(|scope| {
            for _ in 0..self.lanes.min(packs.len()) {
                scope.spawn(|| {
                    if let Err(error) = self.store_packs(&packs, &next) {
                        next.store(packs.len(), Ordering::Relaxed);
                        failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                });
            }
        });
        places.clear();
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn store_packs(&self, packs: &[&[Place]], next: &AtomicUsize) -> Result<()> {
        let mut lane = Lane::new(self.session);
        while let Some(pack) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut whole = self.segments_of(&pack[0].0)?;
            for segment in pack.chunk_by(|(a, _), (b, _)| a.offset == b.offset) {
                if self.monitor.is_cancelled() {
                    return Err(Error::Cancelled);
                }
                match whole.remove(&segment[0].0.offset) {
                    Some(chunks) if self.is_to_stay_whole(segment, &chunks)? => {
                        let compressed = self.reader.read_compressed(&segment[0].0)?;
                        self.monitor.bytes_done.fetch_add(u64::from(compressed.frame.raw_len), Ordering::Relaxed);
                        lane.put_compressed(&compressed, chunks)?;
                    }
                    _ => self.store_chunks(&mut lane, segment)?,
                }
            }
        }
        Ok(())
    }

    /// Returns the chunks of each segment that is large enough to stay alone, by where it starts; none if the table is damaged.
    fn segments_of(&self, place: &Location) -> Result<HashMap<u32, Vec<ChunkRecord>>> {
        let toc = match self.reader.read_toc(&place.pack) {
            Err(error) if error.is_damage() => return Ok(HashMap::new()),
            toc => toc?,
        };
        let mut offset = HEADER_LEN_BYTES as u32;
        let segments = toc.segments.into_iter().map(|segment| {
            let at = offset;
            offset += segment.stored_len;
            (at, segment)
        });
        let is_large = |segment: &SegmentRecord| segment.raw_len() >= u64::from(ALONE_MIN_BYTES[place.pack.class as usize]);
        Ok(segments.filter(|(_, segment)| is_large(segment)).map(|(at, segment)| (at, segment.chunks)).collect())
    }

    /// Returns whether all that a segment holds is marked, and is nowhere else.
    fn is_to_stay_whole(&self, places: &[Place], chunks: &[ChunkRecord]) -> Result<bool> {
        if places.len() != chunks.len() {
            return Ok(false);
        }
        for ((place, id), (at, chunk)) in places.iter().zip((0..).zip(chunks)) {
            if place.chunk != at || chunk.id != *id || self.reader.locate_trusted(id)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Stores the marked chunks of one segment again; each is verified.
    fn store_chunks(&self, lane: &mut Lane, places: &[Place]) -> Result<()> {
        let segment = self.reader.read_segment(&places[0].0)?;
        for (place, id) in places {
            let (kind, _) = segment.chunk(usize::from(place.chunk)).ok_or(Error::WrongChunk { id: *id })?;
            let bytes = self.reader.chunk_of(&segment, place, kind, id)?;
            lane.put(kind, id, bytes)?;
            self.monitor.bytes_done.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}
