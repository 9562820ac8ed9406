//! Storing the live chunks of packs again that are going to be removed.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::format::generation::Victim;
use crate::id::{ChunkId, ObjectId};
use crate::monitor::Monitor;
use crate::repo::reach::Marks;
use crate::repo::session::SessionStats;
use crate::repo::{Error, Lane, Location, Reader, Result, Session};

/// Chunks whose places are held at once (about 130 bytes each).
const CHUNKS_MAX: usize = 200_000;

/// Stores every marked chunk of `packs` again, in the order in which they lie there.
///
/// The index must avoid the packs already, so that the session does not take them for places.
pub fn repack(
    reader: &Arc<Reader>,
    session: Session,
    (packs, marks): (&[Victim], &Marks),
    monitor: &Monitor,
) -> Result<SessionStats> {
    let packs: HashSet<ObjectId> = packs.iter().map(|victim| victim.name).collect();
    // The session adds runs of its own: their chunks are not to be moved.
    let runs = reader.index().runs();
    let mut lane = Lane::new(&session);
    let mut places: Vec<(Location, ChunkId)> = Vec::new();
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
                store_again(reader, &mut lane, &mut places, monitor)?;
            }
        }
    }
    store_again(reader, &mut lane, &mut places, monitor)?;
    lane.flush();
    drop(lane);
    Ok(session.finish()?.stats())
}

fn store_again(reader: &Reader, lane: &mut Lane, places: &mut Vec<(Location, ChunkId)>, monitor: &Monitor) -> Result<()> {
    places.sort_unstable_by_key(|(place, _)| (place.pack.name, place.offset, place.chunk));
    for segment in places.chunk_by(|(a, _), (b, _)| (a.pack.name, a.offset) == (b.pack.name, b.offset)) {
        if monitor.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let opened = reader.read_segment(&segment[0].0)?;
        for (place, id) in segment {
            let (kind, _) = opened.chunk(usize::from(place.chunk)).ok_or(Error::WrongChunk { id: *id })?;
            let bytes = reader.chunk_of(&opened, place, kind, id)?;
            lane.put(kind, id, bytes)?;
            monitor.bytes_done.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
    }
    places.clear();
    Ok(())
}
