//! Holes in files, reported by the file system or found in the bytes.

use std::ops::Range;
use std::os::fd::AsFd;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// The file system reports no holes or impossible ones: the data must be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreliableHoles;

/// Returns the next data at or after `from` in an open file of `size` bytes, `None` if only a hole
/// follows.
///
/// Every returned range is not empty and not before `from`, so a caller that continues at its end
/// reaches the end of the file.
pub fn next_data(
    file: impl AsFd,
    from: u64,
    size: u64,
) -> Result<Option<Range<u64>>, UnreliableHoles> {
    let start = match seek(&file, SeekFrom::Data(from)) {
        Ok(start) if start >= from => start,
        Err(Errno::NXIO) => return Ok(None),
        _ => return Err(UnreliableHoles),
    };
    if start >= size {
        return Ok(None);
    }
    match seek(&file, SeekFrom::Hole(start)) {
        Ok(end) if end > start => Ok(Some(start..end.min(size))),
        _ => Err(UnreliableHoles),
    }
}

/// Limit of allocated bytes that are not data: metadata of the file system, and attributes.
const OWN_LEN_MAX_BYTES: u64 = 64 << 10;

/// Returns whether the reported holes of a file are plausible: its data must account for its
/// allocated bytes.
///
/// `stored` is the allocated length in bytes. Returns false if `is_stopped` does.
pub fn are_plausible(
    file: impl AsFd,
    size: u64,
    stored: u64,
    is_stopped: impl Fn() -> bool,
) -> bool {
    let (mut at, mut data) = (0, 0);
    while at < size {
        match next_data(&file, at, size) {
            Ok(Some(found)) if !is_stopped() => {
                data += found.end - found.start;
                at = found.end;
            }
            Ok(None) => break,
            _ => return false,
        }
    }
    data + data / 64 + OWN_LEN_MAX_BYTES >= stored
}

/// Smallest hole: file systems have no smaller ones.
pub const BLOCK_LEN_BYTES: usize = 4 << 10;

/// Returns the first run of zero blocks at or after `from` that is at least `len_min` bytes long
/// or reaches the end.
///
/// `bytes` must begin at a block of the file; a last part of a block counts as one. A run that
/// reaches the end may continue after it.
pub fn next_zeros(bytes: &[u8], from: usize, len_min: usize) -> Option<Range<usize>> {
    let mut start = None;
    for at in (from.next_multiple_of(BLOCK_LEN_BYTES)..bytes.len()).step_by(BLOCK_LEN_BYTES) {
        let block = &bytes[at..bytes.len().min(at + BLOCK_LEN_BYTES)];
        if is_zero(block) {
            start.get_or_insert(at);
        } else if let Some(start) = start.take_if(|start| at - *start >= len_min) {
            return Some(start..at);
        } else {
            start = None;
        }
    }
    start.map(|start| start..bytes.len())
}

/// Returns whether all bytes are zero; stops at the first block that is not.
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(BLOCK_LEN_BYTES).all(|block| block.iter().fold(0, |all, byte| all | byte) == 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    #[test]
    fn runs_of_zeros_are_whole_blocks_long_enough_or_last() {
        let block = BLOCK_LEN_BYTES;
        let mut bytes = vec![1; 10 * block + 7];
        bytes[block..2 * block].fill(0);
        bytes[4 * block - 1..7 * block + 9].fill(0);
        assert_eq!(next_zeros(&bytes, 0, block), Some(block..2 * block));
        assert_eq!(next_zeros(&bytes, 1, 2 * block), Some(4 * block..7 * block));
        assert_eq!(next_zeros(&bytes, 4 * block + 1, block), Some(5 * block..7 * block));
        assert_eq!(next_zeros(&bytes, 0, 4 * block), None);
        bytes[10 * block..].fill(0);
        assert_eq!(next_zeros(&bytes, 0, 4 * block), Some(10 * block..10 * block + 7));
        assert_eq!(next_zeros(&[], 0, block), None);
    }

    #[test]
    fn holes_are_found_and_their_data_is_all_that_takes_room() {
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.set_len(9 << 20).unwrap();
        file.write_all_at(&[1; 100_000], 2 << 20).unwrap();
        file.sync_all().unwrap();
        let stored = file.metadata().unwrap().blocks() * 512;
        assert!(are_plausible(&file, 9 << 20, stored, || false));
        assert!(
            !are_plausible(&file, 9 << 20, stored + (1 << 20), || false),
            "1 MiB more takes room than is said to be data"
        );
        assert!(!are_plausible(&file, 9 << 20, stored, || true));
        let data = next_data(&file, 0, 9 << 20).unwrap().unwrap();
        assert!(data.contains(&(2 << 20)) && data.contains(&((2 << 20) + 99_999)), "{data:?}");
        if data.start > 0 {
            assert_eq!(next_data(&file, data.end, 9 << 20), Ok(None));
        }
    }
}
