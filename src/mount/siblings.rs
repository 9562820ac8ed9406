//! Readahead across files that are opened one after the other, as by `grep -r` and `cp -a`.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Mutex;

use crate::format::entry::{Content, Entry, Ref};
use crate::id::ChunkId;
use crate::repo::read::node_cache::CachedEntry;
use crate::sync::lock;

/// Leaves of directories that are tracked.
const LEAVES_MAX: usize = 64;
/// Files that may be skipped between two opened ones.
const GAP_MAX: usize = 8;
/// Files that must have been opened in a row before the next are fetched.
const ROW_MIN: usize = 2;
/// Most bytes of files that are fetched ahead, and most files.
const AHEAD_LEN_MAX_BYTES: u64 = 4 << 20;
const AHEAD_MAX: usize = 128;

/// The last opened files, by leaf.
#[derive(Default)]
pub(super) struct Siblings {
    leaves: Mutex<HashMap<usize, Row>>,
}

#[derive(Default)]
struct Row {
    last: usize,
    len: usize,
    /// Position up to which files were fetched.
    ahead: usize,
}

impl Row {
    /// Records that the file at a position was opened; returns the positions to fetch.
    fn open(&mut self, at: usize, sizes: &dyn Fn(usize) -> Option<u64>) -> Range<usize> {
        let is_next = at > self.last && at - self.last <= GAP_MAX;
        self.len = if is_next { self.len + 1 } else { 0 };
        self.last = at;
        if self.len == 0 {
            self.ahead = at + 1;
        }
        self.ahead = self.ahead.max(at + 1);
        // Fetch again when half of it was used.
        if self.len < ROW_MIN || self.ahead - at > AHEAD_MAX / 2 {
            return 0..0;
        }
        let (start, mut sum) = (self.ahead, 0);
        while let Some(size) = sizes(self.ahead)
            && self.ahead - at < AHEAD_MAX
            && sum < AHEAD_LEN_MAX_BYTES
        {
            sum += size;
            self.ahead += 1;
        }
        start..self.ahead
    }
}

impl Siblings {
    /// Records that a file was opened; returns the chunks of the files that are likely to be next.
    ///
    /// Files with chunk lists have their own readahead.
    pub(super) fn opened(&self, found: &CachedEntry) -> impl Iterator<Item = ChunkId> {
        let (leaf, at) = found.place();
        let entries = found.neighbours();
        let mut leaves = lock(&self.leaves);
        if leaves.len() >= LEAVES_MAX && !leaves.contains_key(&leaf) {
            leaves.clear();
        }
        let wanted = leaves
            .entry(leaf)
            .or_default()
            .open(at, &|at| Some(refs(entries.get(at)?).iter().map(Ref::len).sum()));
        drop(leaves);
        let pieces = entries[wanted].iter().flat_map(|entry| refs(entry).iter());
        pieces.filter_map(|piece| if let Ref::Data { id, .. } = piece { Some(*id) } else { None })
    }
}

fn refs(entry: &Entry) -> &[Ref] {
    if let Content::Refs(refs) = &entry.content { refs } else { &[] }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: usize = 500;

    fn open(row: &mut Row, at: usize) -> Range<usize> {
        row.open(at, &|at| (at < FILES).then_some(10_000))
    }

    #[test]
    fn files_in_a_row_are_fetched_once_each() {
        let mut row = Row::default();
        let mut fetched = 0;
        for at in 0..FILES {
            let wanted = open(&mut row, at);
            if !wanted.is_empty() {
                assert!(wanted.start >= fetched && wanted.start > at);
                fetched = wanted.end;
            }
            assert!(at < 4 || fetched > at.min(FILES - 2), "{at} was not fetched before");
        }
        assert_eq!(fetched, FILES);
    }

    #[test]
    fn files_here_and_there_fetch_nothing() {
        let mut row = Row::default();
        for at in [50, 3, 90, 200, 7, 400, 1] {
            assert_eq!(open(&mut row, at), 0..0, "{at}");
        }
    }

    #[test]
    fn large_files_are_few() {
        let mut row = Row::default();
        let wanted =
            (0..4).map(|at| row.open(at, &|at| (at < FILES).then_some(2 << 20))).next_back();
        assert!(wanted.is_some_and(|wanted| wanted.len() <= 2));
    }
}
