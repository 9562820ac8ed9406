//! The packs to verify, each with its index records, in pieces that bound memory.

use std::ops::Range;
use std::sync::Arc;

use super::pack::ExpectedPack;
use crate::format::codec::DecodeError;
use crate::format::run::{PackClass, PackRef, RunRecord};
use crate::repo::index::Run;
use crate::repo::{Error, Result};

/// Index records in memory at once (48 bytes each).
const RECORDS_MAX: u64 = 250_000;

/// Selects packs: returns the length in the store's listing, or `None` to leave a pack out.
pub(super) type WantedPacks<'a> = &'a (dyn Fn(&PackRef) -> Option<u64> + Sync);

/// Yields the wanted packs of all runs, each with the records of one run that place chunks in it.
///
/// Reads each run once for every 250,000 records that it has.
pub(super) struct PackJobs<'a> {
    wanted: WantedPacks<'a>,
    runs: std::vec::IntoIter<Arc<Run>>,
    current: Option<(Arc<Run>, std::vec::IntoIter<Range<usize>>)>,
    ready: std::vec::IntoIter<ExpectedPack>,
}

impl<'a> PackJobs<'a> {
    /// Makes the jobs of these runs.
    pub(super) fn new(runs: Vec<Arc<Run>>, wanted: WantedPacks<'a>) -> Self {
        Self { wanted, runs: runs.into_iter(), current: None, ready: Vec::new().into_iter() }
    }

    fn step(&mut self) -> Result<Option<ExpectedPack>> {
        loop {
            if let Some(job) = self.ready.next() {
                return Ok(Some(job));
            }
            if let Some((run, ranges)) = &mut self.current
                && let Some(range) = ranges.next()
            {
                self.ready = collect(run, range, self.wanted)?.into_iter();
                continue;
            }
            let Some(run) = self.runs.next() else {
                return Ok(None);
            };
            // Set before the run is read: if that fails, the next step goes on with the next run.
            self.current = None;
            let ranges = ranges_of(&run)?;
            self.current = Some((run, ranges.into_iter()));
        }
    }
}

impl Iterator for PackJobs<'_> {
    type Item = Result<ExpectedPack>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.current = None;
        }
        step.transpose()
    }
}

/// Splits a run's packs into ranges whose records fit into memory.
fn ranges_of(run: &Run) -> Result<Vec<Range<usize>>> {
    let packs = run.toc().packs.len();
    if run.toc().record_count() <= RECORDS_MAX {
        return Ok(std::iter::once(0..packs).collect());
    }
    let mut counts = vec![0u64; packs];
    for_each_record(run, |record| counts[record.pack as usize] += 1)?;
    Ok(split_ranges(&counts, RECORDS_MAX))
}

/// Splits positions into ranges whose counts sum up to at most `sum_max`; a larger count gets its
/// own range.
fn split_ranges(counts: &[u64], sum_max: u64) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut sum) = (0, 0);
    for (at, count) in counts.iter().enumerate() {
        if sum + count > sum_max && at > start {
            ranges.push(start..at);
            (start, sum) = (at, 0);
        }
        sum += count;
    }
    ranges.push(start..counts.len());
    ranges
}

fn collect(run: &Run, range: Range<usize>, wanted: WantedPacks<'_>) -> Result<Vec<ExpectedPack>> {
    let packs = &run.toc().packs[range.clone()];
    let mut jobs: Vec<Option<ExpectedPack>> = Vec::with_capacity(packs.len());
    for pack in packs {
        jobs.push(wanted(pack).map(|listed_len| ExpectedPack {
            pack: *pack,
            listed_len,
            records: Some(Vec::new()),
        }));
    }
    if jobs.iter().all(Option::is_none) {
        return Ok(Vec::new());
    }
    for_each_record(run, |record| {
        let place = (record.pack as usize).checked_sub(range.start).and_then(|at| jobs.get_mut(at));
        if let Some(records) = place.and_then(Option::as_mut).and_then(|job| job.records.as_mut()) {
            records.push(record);
        }
    })?;
    Ok(jobs.into_iter().flatten().collect())
}

fn for_each_record(run: &Run, mut act: impl FnMut(RunRecord)) -> Result<()> {
    let mut last = None;
    for block in 0..run.block_count() {
        let records = run.read_block(block)?;
        if block == run.toc().blocks(PackClass::Meta).start {
            last = None;
        }
        if last.is_some_and(|last| records.first().is_some_and(|first| first.id <= last)) {
            let source = DecodeError::new("index run", "records are not sorted");
            return Err(Error::Malformed { object: format!("index/{}", run.name()), source });
        }
        last = records.last().map(|record| record.id);
        records.iter().for_each(|record| act(*record));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_everything_and_keep_to_the_limit() {
        let split = |counts: &[u64]| {
            split_ranges(counts, 7)
                .into_iter()
                .map(|range| (range.start, range.end))
                .collect::<Vec<_>>()
        };
        assert_eq!(split(&[3, 3, 3, 3]), [(0, 2), (2, 4)]);
        assert_eq!(split(&[9, 1, 9, 0, 0]), [(0, 1), (1, 2), (2, 3), (3, 5)]);
        assert_eq!(split(&[0, 0, 7]), [(0, 3)]);
        assert_eq!(split(&[8]), [(0, 1)]);
    }
}
