//! Storing the live chunks of packs again that are going to be removed.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::format::generation::Victim;
use crate::id::{ChunkId, ObjectId};
use crate::monitor::Monitor;
use crate::repo::reach::Marks;
use crate::repo::session::SessionStats;
use crate::repo::{Error, Lane, Location, Reader, Result, Session};

/// Chunks whose places are held at once (about 130 bytes each).
const CHUNKS_MAX: usize = 200_000;
/// Segments that a thread takes at once, so that neighbours stay neighbours.
const SEGMENTS_AT_ONCE: usize = 16;

type Place = (Location, ChunkId);

/// Stores every marked chunk of `packs` again, about in the order in which they lie there.
///
/// Segments of which everything is marked keep their compressed form. The index must avoid the packs already, so that the
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
        let segments: Vec<&[Place]> =
            places.chunk_by(|(a, _), (b, _)| (a.pack.name, a.offset) == (b.pack.name, b.offset)).collect();
        let batches: Vec<&[&[Place]]> = segments.chunks(SEGMENTS_AT_ONCE).collect();
        let next = AtomicUsize::new(0);
        let failure = Mutex::new(None);
        thread::scope(|scope| {
            for _ in 0..self.lanes.min(batches.len()) {
                scope.spawn(|| {
                    if let Err(error) = self.store_batches(&batches, &next) {
                        next.store(batches.len(), Ordering::Relaxed);
                        failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                });
            }
        });
        places.clear();
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn store_batches(&self, batches: &[&[&[Place]]], next: &AtomicUsize) -> Result<()> {
        let mut lane = Lane::new(self.session);
        while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
            for segment in *batch {
                if self.monitor.is_cancelled() {
                    return Err(Error::Cancelled);
                }
                self.store_segment(&mut lane, segment)?;
            }
        }
        Ok(())
    }

    /// Stores the marked chunks of one segment again; each is verified.
    fn store_segment(&self, lane: &mut Lane, places: &[Place]) -> Result<()> {
        let opened = self.reader.read_opened(&places[0].0)?;
        let is_whole = places.len() == opened.segment.chunks().len();
        let mut ids = Vec::with_capacity(places.len());
        for (place, id) in places {
            let (kind, _) = opened.segment.chunk(usize::from(place.chunk)).ok_or(Error::WrongChunk { id: *id })?;
            let bytes = self.reader.chunk_of(&opened.segment, place, kind, id)?;
            if !is_whole {
                lane.put(kind, id, bytes)?;
            }
            ids.push(*id);
            self.monitor.bytes_done.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        if is_whole { lane.put_opened(&opened, &ids) } else { Ok(()) }
    }
}
