//! Merge of several index runs into new ones.
//!
//! Spec: `format-spec/13-commit.md`, section 4.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use super::run::Run;
use super::write::FenceLimit;
use crate::container::{ContainerBuilder, Sealed};
use crate::format::codec;
use crate::format::container::{ContainerKind, SegmentCodec};
use crate::format::run::{
    PackClass, PackRef, RECORD_LEN_BYTES, RECORDS_PER_BLOCK, RunRecord, RunToc, fence_of,
};
use crate::id::ObjectId;
use crate::repo::error::Result;
use crate::repo::open::Repository;

/// Most records of a run that a collector writes (22 MB).
pub const MERGED_RECORDS_MAX: u64 = 500_000;

/// Builder of a run, record by record.
struct RunBuilder {
    builder: ContainerBuilder,
    body: Vec<u8>,
    /// The part of the run to which records are added now.
    class: PackClass,
    alike: FenceLimit,
    toc: RunToc,
    packs: HashMap<ObjectId, u32>,
}

impl RunBuilder {
    fn new(generation: u64) -> Self {
        let toc = RunToc { generation, ..RunToc::default() };
        let builder = ContainerBuilder::new(ContainerKind::IndexRun, Vec::new());
        let body = Vec::with_capacity(RECORDS_PER_BLOCK * RECORD_LEN_BYTES);
        Self {
            builder,
            body,
            class: PackClass::Data,
            alike: FenceLimit::default(),
            toc,
            packs: HashMap::new(),
        }
    }

    /// Adds a record. Records must come in the order of their parts, and of their ids within a
    /// part.
    fn push(&mut self, mut record: RunRecord, pack: &PackRef) {
        if self.class != pack.class {
            self.close_block();
            (self.class, self.alike) = (pack.class, FenceLimit::default());
        }
        if !self.alike.admits(&record.id) {
            return;
        }
        if self.body.is_empty() {
            self.toc.fences.push(fence_of(&record.id));
        }
        record.pack = *self.packs.entry(pack.name).or_insert_with(|| {
            self.toc.packs.push(*pack);
            u32::try_from(self.toc.packs.len() - 1).expect("a run has fewer packs than records")
        });
        record.encode_into(&mut self.body);
        match pack.class {
            PackClass::Data => self.toc.data_records += 1,
            PackClass::Meta => self.toc.meta_records += 1,
        }
        if self.body.len() == RECORDS_PER_BLOCK * RECORD_LEN_BYTES {
            self.close_block();
        }
    }

    fn close_block(&mut self) {
        if !self.body.is_empty() {
            self.builder.push(SegmentCodec::Raw, &self.body, self.body.len(), Vec::new());
            self.body.clear();
        }
    }

    fn finish(mut self, repository: &Repository, replaces: Vec<ObjectId>) -> Result<Sealed> {
        self.close_block();
        self.toc.replaces = replaces;
        Ok(self.builder.finish(
            repository.records().seal(),
            &repository.random_32()?,
            &codec::encode(&self.toc),
        ))
    }
}

/// The records of one run in order, part after part, with one block in memory.
struct Records {
    /// Its index among the inputs.
    number: usize,
    run: Arc<Run>,
    next_block: usize,
    block: Arc<[RunRecord]>,
    at: usize,
}

impl Records {
    fn next(&mut self) -> Result<Option<NextRecord>> {
        while self.at == self.block.len() {
            if self.next_block == self.run.block_count() {
                return Ok(None);
            }
            self.block = self.run.read_block(self.next_block)?;
            (self.next_block, self.at) = (self.next_block + 1, 0);
        }
        self.at += 1;
        let record = self.block[self.at - 1];
        Ok(Some(NextRecord {
            pack: self.run.toc().packs[record.pack as usize],
            record,
            input: self.number,
        }))
    }
}

/// The runs to merge.
pub struct RunMerge<'a> {
    /// The runs whose records are merged.
    pub runs: &'a [Arc<Run>],
    /// Listed runs that `runs` replace, which must not come back when `runs` are removed.
    pub hidden: &'a [ObjectId],
    /// Packs whose records are dropped.
    pub dead: &'a HashSet<ObjectId>,
    /// The generation that the new runs state.
    pub generation: u64,
}

/// Writes the records of runs into new ones, and hands each to `create`.
///
/// A chunk's second place goes into another run than its first, because a backup may rely on
/// exactly that pack. Only the run that is created last states that it replaces all of `runs` and
/// `hidden`. If no record is left, there is none.
pub fn merge_runs(
    repository: &Repository,
    merge: &RunMerge,
    create: &mut dyn FnMut(Sealed) -> Result<()>,
) -> Result<()> {
    let RunMerge { runs, hidden, dead, generation } = *merge;
    let input = |(number, run): (usize, &Arc<Run>)| Records {
        number,
        run: run.clone(),
        next_block: 0,
        block: Arc::new([]),
        at: 0,
    };
    let mut inputs: Vec<Records> = runs.iter().enumerate().map(input).collect();
    let mut heap = BinaryHeap::new();
    for input in &mut inputs {
        heap.extend(input.next()?.map(Reverse));
    }
    let mut outputs: Vec<RunBuilder> = Vec::new();
    // Places of the current chunk that were written already.
    let mut places: Vec<(ObjectId, u32, u16)> = Vec::new();
    let mut current = None;
    while let Some(Reverse(NextRecord { pack, record, input })) = heap.pop() {
        if current != Some(record.id) {
            current = Some(record.id);
            places.clear();
        }
        let place = (pack.name, record.offset, record.chunk);
        if !dead.contains(&pack.name) && !places.contains(&place) {
            places.push(place);
            if outputs.len() < places.len() {
                outputs.push(RunBuilder::new(generation));
            }
            let output = &mut outputs[places.len() - 1];
            if output.toc.record_count() >= MERGED_RECORDS_MAX {
                create(
                    std::mem::replace(output, RunBuilder::new(generation))
                        .finish(repository, Vec::new())?,
                )?;
            }
            output.push(record, &pack);
        }
        heap.extend(inputs[input].next()?.map(Reverse));
    }
    let mut left = outputs.into_iter().peekable();
    while let Some(output) = left.next() {
        let is_last = left.peek().is_none();
        let replaced = runs.iter().map(|run| run.name()).chain(hidden.iter().copied());
        let replaces = if is_last { replaced.collect() } else { Vec::new() };
        create(output.finish(repository, replaces)?)?;
    }
    Ok(())
}

/// The next record of one of the runs; ordered by part, then by chunk, then by run.
struct NextRecord {
    pack: PackRef,
    record: RunRecord,
    input: usize,
}

impl Ord for NextRecord {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let order = |next: &Self| (next.pack.class, next.record.id, next.input);
        order(self).cmp(&order(other))
    }
}

impl PartialOrd for NextRecord {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for NextRecord {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for NextRecord {}
