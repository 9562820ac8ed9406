//! Ranges of revisions, each a file of the snapshot.
//!
//! A range is whole shards of the repository, so that a packed or finished shard is one thing to
//! look at, and what is new is in the last range.

use std::ops::RangeInclusive;

/// Most revisions: their numbers have 8 digits in names of files, which are sorted.
pub(super) const REVISION_MAX: u64 = 99_999_999;

/// Returns the number of revisions of a range: the least multiple of the shard's that has at least
/// `len_min`. A repository without shards has ranges of `len_min`.
pub(super) fn range_len(shard_len: Option<u64>, len_min: u64) -> u64 {
    let shard_len = shard_len.unwrap_or(1).clamp(1, REVISION_MAX);
    len_min.clamp(1, REVISION_MAX).div_ceil(shard_len) * shard_len
}

/// Returns the ranges of the revisions from 0 to `youngest`, in their order.
pub(super) fn ranges(youngest: u64, len: u64) -> impl Iterator<Item = RangeInclusive<u64>> {
    (0..=youngest / len).map(move |at| at * len..=(at * len + len - 1).min(youngest))
}

/// Returns the name of the file of a range.
pub(super) fn file_name(range: &RangeInclusive<u64>) -> String {
    format!("{:08}.dump", range.start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_whole_shards() {
        for (shard, len) in [
            (Some(1000), 1000),
            (None, 1000),
            (Some(4), 1000),
            (Some(300), 1200),
            (Some(5000), 5000),
            (Some(0), 1000),
            (Some(u64::MAX), REVISION_MAX),
        ] {
            assert_eq!(range_len(shard, 1000), len, "{shard:?}");
        }
    }

    #[test]
    fn ranges_cover_each_revision_once() {
        assert_eq!(ranges(0, 1000).collect::<Vec<_>>(), [0..=0]);
        assert_eq!(ranges(999, 1000).collect::<Vec<_>>(), [0..=999]);
        assert_eq!(ranges(1000, 1000).collect::<Vec<_>>(), [0..=999, 1000..=1000]);
        let all: Vec<u64> = ranges(1234, 100).flatten().collect();
        assert!(all.into_iter().eq(0..=1234));
        assert_eq!(file_name(&(12_000..=12_345)), "00012000.dump");
    }
}
