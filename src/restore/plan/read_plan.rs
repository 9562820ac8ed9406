//! The read plan of a batch: ranges of packs, and the file positions of the chunks in them. Pure.

use std::ops::Range;

use crate::id::ChunkId;

/// A chunk, and where in a file it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileChunk {
    /// Where it starts in the file, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u32,
    /// Its id.
    pub id: ChunkId,
}

/// Location of a chunk within the packs of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BatchLocation {
    /// Position of its pack in the batch.
    pub pack: u32,
    /// Where its segment starts in the pack, in bytes.
    pub offset: u32,
    /// Stored length of the segment in bytes.
    pub stored_len: u32,
    /// Its position in the segment.
    pub chunk: u16,
}

/// A chunk to be read from one location and written into one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkTarget {
    /// Where it is read.
    pub location: BatchLocation,
    /// Position of its file in the batch.
    pub file: u32,
    /// The chunk, and where it belongs in that file.
    pub chunk: FileChunk,
}

/// A segment to be decoded once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedSegment {
    /// Where the segment starts in its pack, in bytes.
    pub offset: u32,
    /// Its stored length in bytes.
    pub stored_len: u32,
    /// The targets of its chunks, in the order of chunks.
    pub targets: Range<usize>,
}

/// One ranged read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedRead {
    /// Position of the pack in the batch.
    pub pack: u32,
    /// Where the read starts in the pack, in bytes.
    pub offset: u32,
    /// Its length in bytes.
    pub len: u32,
    /// The needed segments in it.
    pub segments: Range<usize>,
}

/// The reads of a batch, and the targets of their chunks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadPlan {
    /// All targets, sorted by location.
    pub targets: Vec<ChunkTarget>,
    /// All segments, in the order of their packs and offsets, each once.
    pub segments: Vec<PlannedSegment>,
    /// The reads, in the same order.
    pub reads: Vec<PlannedRead>,
}

/// Unneeded bytes between two segments that are read along, because they cost less than another
/// request.
const GAP_LEN_MAX_BYTES: u32 = 64 << 10;

/// Plans a batch: every segment is read and decoded once; neighbours are read together, up to
/// `read_len_max_bytes`.
pub(crate) fn plan_reads(mut targets: Vec<ChunkTarget>, read_len_max_bytes: u32) -> ReadPlan {
    targets.sort_unstable_by_key(|target| (target.location, target.file, target.chunk.offset));
    let segments = segments_of(&targets);
    let reads = reads_of(&targets, &segments, read_len_max_bytes);
    ReadPlan { targets, segments, reads }
}

fn segments_of(targets: &[ChunkTarget]) -> Vec<PlannedSegment> {
    let mut segments = Vec::new();
    let mut start = 0;
    let same = |a: &ChunkTarget, b: &ChunkTarget| {
        (a.location.pack, a.location.offset, a.location.stored_len)
            == (b.location.pack, b.location.offset, b.location.stored_len)
    };
    for group in targets.chunk_by(same) {
        let BatchLocation { offset, stored_len, .. } = group[0].location;
        segments.push(PlannedSegment { offset, stored_len, targets: start..start + group.len() });
        start += group.len();
    }
    segments
}

fn reads_of(
    targets: &[ChunkTarget],
    segments: &[PlannedSegment],
    read_len_max_bytes: u32,
) -> Vec<PlannedRead> {
    let mut reads: Vec<PlannedRead> = Vec::new();
    for (position, segment) in segments.iter().enumerate() {
        let pack = targets[segment.targets.start].location.pack;
        let end = u64::from(segment.offset) + u64::from(segment.stored_len);
        if let Some(last) = reads.last_mut().filter(|last| last.pack == pack) {
            let last_end = last.offset.saturating_add(last.len);
            let together = end.max(last_end.into()) - u64::from(last.offset);
            if segment.offset <= last_end.saturating_add(GAP_LEN_MAX_BYTES)
                && together <= read_len_max_bytes.into()
            {
                last.len = together as u32;
                last.segments.end = position + 1;
                continue;
            }
        }
        reads.push(PlannedRead {
            pack,
            offset: segment.offset,
            len: segment.stored_len,
            segments: position..position + 1,
        });
    }
    reads
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(pack: u32, offset: u32, stored_len: u32, chunk: u16, file: u32) -> ChunkTarget {
        let location = BatchLocation { pack, offset, stored_len, chunk };
        let chunk = FileChunk { offset: 0, len: 10, id: ChunkId([chunk as u8; 32]) };
        ChunkTarget { location, file, chunk }
    }

    #[test]
    fn each_segment_is_decoded_once_however_often_it_is_wanted() {
        let wanted = (0..50).map(|n| target(0, 128, 1000, n % 5, u32::from(n))).collect();
        let plan = plan_reads(wanted, 1 << 20);
        assert_eq!((plan.reads.len(), plan.segments.len()), (1, 1));
        assert_eq!(plan.segments[0].targets, 0..50);
        assert!(plan.targets.is_sorted_by_key(|target| (target.location.chunk, target.file)));
    }

    #[test]
    fn neighbours_are_read_together_up_to_the_limit() {
        let wanted = (0..10).rev().map(|n| target(0, 128 + n * 1000, 1000, 0, n)).collect();
        let plan = plan_reads(wanted, 4000);
        let reads: Vec<_> =
            plan.reads.iter().map(|read| (read.offset, read.len, read.segments.clone())).collect();
        assert_eq!(reads, [(128, 4000, 0..4), (4128, 4000, 4..8), (8128, 2000, 8..10)]);
    }

    #[test]
    fn far_segments_and_other_packs_are_read_apart() {
        let wanted =
            vec![target(0, 128, 10, 0, 0), target(0, 200_000, 10, 0, 0), target(1, 138, 10, 0, 0)];
        let plan = plan_reads(wanted, 8 << 20);
        assert_eq!(
            plan.reads.iter().map(|read| (read.pack, read.len)).collect::<Vec<_>>(),
            [(0, 10), (0, 10), (1, 10)]
        );
    }

    #[test]
    fn absurd_places_do_not_overflow() {
        let wanted = vec![
            target(0, u32::MAX, u32::MAX, 0, 0),
            target(0, u32::MAX - 5, u32::MAX, 0, 0),
            target(0, 0, 9, 0, 0),
        ];
        let plan = plan_reads(wanted, u32::MAX);
        assert_eq!(plan.targets.len(), 3);
        assert_eq!(plan.segments.len(), 3);
    }

    #[test]
    fn nothing_wanted_is_nothing_read() {
        assert_eq!(plan_reads(Vec::new(), 100), ReadPlan::default());
    }
}
