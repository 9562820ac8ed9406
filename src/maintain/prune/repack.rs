//! Repack: stores the live chunks of packs again before these are removed.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::marked::Marked;
use crate::format::container::{ChunkRecord, HEADER_LEN_BYTES, SegmentRecord};
use crate::format::generation::Victim;
use crate::format::run::PackRef;
use crate::id::ObjectId;
use crate::monitor::Monitor;
use crate::repo::read::reachable::MarkBits;
use crate::repo::write::SessionStats;
use crate::repo::{Error, Lane, Location, Reader, Result, Session};
use crate::sync::{self, lock};

/// Least bytes of packs for each lane. Each lane ends with partly filled segments and packs, which
/// compress less well: too many lanes could make a small repository larger.
const LANE_MIN_BYTES: u64 = 8 << 20;

/// Raw bytes from which on a segment is moved as it is: half of a backup's segment size.
const ALONE_MIN_BYTES: [u64; 2] = [1 << 20, 1 << 19];

/// Stores every marked chunk of `packs` again, in the order of the packs.
///
/// A segment whose chunks are all marked keeps its compressed form, and its seal is verified. Of
/// other segments the ids of chunks are verified. The index must avoid these packs already, so that
/// the session does not find the chunks in them. Memory: the table of one pack for each lane.
pub(super) fn repack(
    marked: &Marked,
    session: Session,
    packs: &[Victim],
    lanes: usize,
    monitor: &Monitor,
) -> Result<SessionStats> {
    let Marked { reader, marks, .. } = marked;
    let packs = named(reader, packs);
    let mover = Mover { reader, session: &session, marks, monitor };
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..lanes.min(packs.len()) {
            scope.spawn(|| {
                if let Err(error) = mover.store_packs(&packs, &next) {
                    next.store(packs.len(), Ordering::Relaxed);
                    lock(&failure).get_or_insert(error);
                }
            });
        }
    });
    sync::into_inner(failure).map_or(Ok(()), Err)?;
    Ok(session.finish()?.stats())
}

/// Returns the index's descriptions of these packs, ascending by name.
fn named(reader: &Reader, victims: &[Victim]) -> Vec<PackRef> {
    let wanted: HashSet<ObjectId> = victims.iter().map(|victim| victim.name).collect();
    let runs = reader.index().runs();
    let all = runs.iter().flat_map(|run| &run.toc().packs);
    let found: BTreeMap<ObjectId, PackRef> =
        all.filter(|pack| wanted.contains(&pack.name)).map(|pack| (pack.name, *pack)).collect();
    found.into_values().collect()
}

/// Returns the number of lanes for packs of this size: at least 1, at most `lanes`.
pub(super) fn lanes_for(repack_bytes: u64, lanes: usize) -> usize {
    lanes.min(usize::try_from(repack_bytes / LANE_MIN_BYTES).unwrap_or(lanes)).max(1)
}

struct Mover<'a> {
    reader: &'a Reader,
    session: &'a Session,
    marks: &'a MarkBits,
    monitor: &'a Monitor,
}

impl Mover<'_> {
    fn store_packs(&self, packs: &[PackRef], next: &AtomicUsize) -> Result<()> {
        let mut lane = Lane::new(self.session);
        while let Some(pack) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut offset = HEADER_LEN_BYTES as u32;
            for segment in self.reader.read_toc(pack)?.segments {
                if self.monitor.is_cancelled() {
                    return Err(Error::Cancelled);
                }
                let place =
                    Location { pack: *pack, offset, stored_len: segment.stored_len, chunk: 0 };
                offset += segment.stored_len;
                self.store_segment(&mut lane, &place, segment)?;
            }
        }
        Ok(())
    }

    fn store_segment(
        &self,
        lane: &mut Lane,
        place: &Location,
        segment: SegmentRecord,
    ) -> Result<()> {
        let mut live: Vec<(u16, &ChunkRecord)> = Vec::new();
        let mut is_elsewhere = false;
        for (at, chunk) in (0..).zip(&segment.chunks) {
            let places = self.reader.index().places(&chunk.id)?;
            let is_here = |found: &Location| {
                (found.pack.name, found.offset, found.chunk) == (place.pack.name, place.offset, at)
            };
            if places
                .iter()
                .any(|found| is_here(&found.location) && self.marks.is_set(found.number))
            {
                live.push((at, chunk));
            }
            is_elsewhere = is_elsewhere || places.iter().any(|found| found.is_trusted);
        }
        if live.is_empty() {
            return Ok(());
        }
        let is_large = segment.raw_len() >= ALONE_MIN_BYTES[place.pack.class as usize];
        if is_large && !is_elsewhere && live.len() == segment.chunks.len() {
            let compressed = self.reader.read_compressed(place)?;
            self.monitor.bytes_done.fetch_add(segment.raw_len(), Ordering::Relaxed);
            return lane.put_compressed(&compressed, segment.chunks);
        }
        self.store_chunks(lane, place, &live)
    }

    /// Verifies some chunks of one segment and stores them again.
    fn store_chunks(
        &self,
        lane: &mut Lane,
        place: &Location,
        live: &[(u16, &ChunkRecord)],
    ) -> Result<()> {
        let segment = self.reader.read_segment(place)?;
        for (at, chunk) in live {
            let bytes = self.reader.chunk_of(
                &segment,
                &Location { chunk: *at, ..*place },
                chunk.kind,
                &chunk.id,
            )?;
            lane.put(chunk.kind, &chunk.id, bytes)?;
            self.monitor.bytes_done.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}
