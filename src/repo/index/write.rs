//! Builder of index runs from packs that were just stored.

use crate::container::{ContainerBuilder, Sealed};
use crate::format::codec;
use crate::format::container::{ContainerKind, HEADER_LEN_BYTES, PackToc, SegmentCodec};
use crate::format::run::{
    PackClass, PackRef, RECORD_LEN_BYTES, RECORDS_PER_BLOCK, RunRecord, RunToc, fence_of,
};
use crate::id::{ChunkId, ObjectId, SnapshotId};
use crate::repo::error::Result;
use crate::repo::open::Repository;

/// A pack that is durable in the store, with its table of contents.
pub struct PlacedPack {
    /// The pack.
    pub pack: PackRef,
    /// Its segments and chunks.
    pub toc: PackToc,
}

/// Origin of a run, as its table states it.
///
/// Spec: `format-spec/13-commit.md`, section 2.3.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOrigin {
    /// The highest generation that was listed before the first pack was stored.
    pub generation: u64,
    /// The session that stored the packs.
    pub session: Option<SnapshotId>,
}

/// Builds the run that names the chunks of `packs`; of several places of a chunk, it names the
/// first.
pub fn build_run(
    repository: &Repository,
    packs: &[PlacedPack],
    origin: RunOrigin,
) -> Result<Sealed> {
    let toc =
        RunToc { generation: origin.generation, session: origin.session, ..RunToc::default() };
    build(repository, packs, toc)
}

/// Builds a run of no session that names the chunks of `packs` and replaces other runs.
pub fn build_replacing_run(
    repository: &Repository,
    packs: &[PlacedPack],
    generation: u64,
    replaces: Vec<ObjectId>,
) -> Result<Sealed> {
    build(repository, packs, RunToc { generation, replaces, ..RunToc::default() })
}

fn build(repository: &Repository, packs: &[PlacedPack], toc: RunToc) -> Result<Sealed> {
    let mut records = records_of(packs);
    records.sort_by_key(|record| (packs[record.pack as usize].pack.class, record.id));
    records.dedup_by(|later, earlier| later.id == earlier.id);
    seal_run(
        repository,
        RunToc { packs: packs.iter().map(|placed| placed.pack).collect(), ..toc },
        &records,
    )
}

/// Seals a run of these records, which must be sorted by the class of their packs and then by id,
/// without duplicates. Sets counts and fences of `toc`.
pub fn seal_run(repository: &Repository, toc: RunToc, records: &[RunRecord]) -> Result<Sealed> {
    let mut builder = ContainerBuilder::new(ContainerKind::IndexRun, Vec::new());
    let (data, meta) =
        records
            .split_at(records.partition_point(|record| {
                toc.packs[record.pack as usize].class == PackClass::Data
            }));
    let [data, meta] = [data, meta].map(|part| {
        let mut alike = FenceLimit::default();
        part.iter().filter(|record| alike.admits(&record.id)).copied().collect::<Vec<_>>()
    });
    let mut toc = RunToc {
        data_records: data.len() as u64,
        meta_records: meta.len() as u64,
        fences: Vec::new(),
        ..toc
    };
    let mut body = Vec::with_capacity(RECORDS_PER_BLOCK * RECORD_LEN_BYTES);
    for block in data.chunks(RECORDS_PER_BLOCK).chain(meta.chunks(RECORDS_PER_BLOCK)) {
        body.clear();
        block.iter().for_each(|record| record.encode_into(&mut body));
        builder.push(SegmentCodec::Raw, &body, body.len(), Vec::new());
        toc.fences.push(fence_of(&block[0].id));
    }
    Ok(builder.finish(repository.records().seal(), &repository.random_32()?, &codec::encode(&toc)))
}

/// Limit for records whose ids begin alike: at most one block of them is written.
///
/// Ids are keyed hashes, so more of them cannot be of real chunks. Without the limit, forged
/// records could make this program write a run that no reader accepts.
#[derive(Default)]
pub(super) struct FenceLimit {
    fence: Option<u64>,
    count: usize,
}

impl FenceLimit {
    /// Returns whether the record of the next id of a part is written.
    pub(super) fn admits(&mut self, id: &ChunkId) -> bool {
        let fence = Some(fence_of(id));
        if self.fence != fence {
            (self.fence, self.count) = (fence, 0);
        }
        self.count += 1;
        self.count <= RECORDS_PER_BLOCK
    }
}

fn records_of(packs: &[PlacedPack]) -> Vec<RunRecord> {
    let mut records = Vec::new();
    for (pack, placed) in (0u32..).zip(packs) {
        let mut offset = HEADER_LEN_BYTES as u32;
        for segment in &placed.toc.segments {
            let stored_len = segment.stored_len;
            records.extend((0u16..).zip(&segment.chunks).map(|(chunk, record)| RunRecord {
                id: record.id,
                pack,
                offset,
                stored_len,
                chunk,
            }));
            offset += stored_len;
        }
    }
    records
}
