//! Tail of an index run: the records of trees, the table and the trailer. Lookups of trees need
//! nothing else.
//!
//! Its local copy is the run's length (8 bytes, little-endian), the run's header, and the run's
//! bytes from the records of trees on, still sealed. It cannot be checked against the run's name,
//! which is a hash of the whole run. But every part is authenticated by a key that is derived from
//! the header, and each chunk is verified by its id. So if another run of the repository were put
//! in its place, it could only fail to name chunks.

use std::ops::Range;

use crate::container::{ContainerError, Opener};
use crate::crypto::container_keys::RecordKeys;
use crate::format::container::{ContainerKind, HEADER_LEN_BYTES, TRAILER_LEN_BYTES};
use crate::format::run::RunToc;
use crate::repo::error::{Error, Result};
use crate::repo::objects::parallel;
use crate::store::{Key, Store};

/// Longest run in bytes that is always fetched as a whole.
pub(crate) const WHOLE_MAX_BYTES: u64 = 2 << 20;
/// Length of the first field of a local copy (the run's length), in bytes.
pub(crate) const LEN_BYTES: usize = 8;
/// Fraction of a run that is fetched before the start of its tail is known: 2 to 5 % of the records
/// are of trees.
const GUESS_DIVISOR: u64 = 16;

/// Returns the number of bytes that are fetched first as the tail of a run of this length.
pub(crate) fn guess(len_bytes: u64) -> u64 {
    (len_bytes / GUESS_DIVISOR).max(TRAILER_LEN_BYTES as u64)
}

/// Returns whether lookups fetch only the tail of a run of this length from a remote store.
pub(crate) fn is_long(len_bytes: u64) -> bool {
    len_bytes > WHOLE_MAX_BYTES
}

/// Returns the ranges of a long run that are fetched first: its header, and the guessed tail.
pub(crate) fn first_ranges(len_bytes: u64) -> [Range<u64>; 2] {
    let header_len = HEADER_LEN_BYTES as u64;
    [0..header_len, (len_bytes - guess(len_bytes)).max(header_len)..len_bytes]
}

/// Reads and verifies header and trailer of a run that is listed with this length.
pub(crate) fn verify(
    store: &dyn Store,
    keys: &RecordKeys,
    key: &Key,
    len_bytes: u64,
) -> Result<()> {
    let read = |range: Range<u64>| -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        store.read_into(key, range, &mut bytes)?;
        Ok(bytes)
    };
    let trailer_at = len_bytes.saturating_sub(TRAILER_LEN_BYTES as u64);
    let opener = Opener::from_header(
        keys.open(),
        ContainerKind::IndexRun,
        &read(0..HEADER_LEN_BYTES as u64)?,
    );
    let trailer =
        opener.map_err(Error::damaged(key))?.trailer(&read(trailer_at..len_bytes)?, len_bytes);
    trailer.map(drop).map_err(Error::damaged(key))
}

/// Fetches header and guessed tail of a run in parallel, and then the missing part of the tail.
///
/// `len_bytes` is the run's length in the store. Header, table and trailer are verified here,
/// blocks when they are read. Returns the bytes of the local copy.
pub(crate) fn fetch(
    store: &dyn Store,
    keys: &RecordKeys,
    key: &Key,
    len_bytes: u64,
) -> Result<Vec<u8>> {
    let damaged = |error| Error::damaged(key)(error);
    let read = |range: Range<u64>| -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        store.read_into(key, range, &mut bytes)?;
        Ok(bytes)
    };
    if len_bytes < HEADER_LEN_BYTES as u64 + TRAILER_LEN_BYTES as u64 {
        return Err(damaged(ContainerError::Short));
    }
    let trailer_at = len_bytes - TRAILER_LEN_BYTES as u64;
    let [header, tail] = first_ranges(len_bytes);
    let from = tail.start;
    let (header, tail) = parallel::both(store, || read(header), || read(tail));
    let (header, tail) = (header?, tail?);
    let opener =
        Opener::from_header(keys.open(), ContainerKind::IndexRun, &header).map_err(damaged)?;
    let trailer =
        opener.trailer(&tail[(trailer_at - from) as usize..], len_bytes).map_err(damaged)?;
    // Makes bytes that begin at `from` begin at `to`: reads the missing ones, or drops the surplus.
    let reach = |from: u64, tail: Vec<u8>, to: u64| -> Result<Vec<u8>> {
        match to.checked_sub(from) {
            Some(too_much) => Ok(tail[too_much as usize..].to_vec()),
            None => Ok([read(to..from)?, tail].concat()),
        }
    };
    let start = from.min(trailer.toc_offset);
    let tail = reach(from, tail, start)?;
    let sealed = &tail[(trailer.toc_offset - start) as usize..(trailer_at - start) as usize];
    let toc = RunToc::decode(&opener.toc(&trailer, sealed).map_err(damaged)?)
        .map_err(|error| damaged(error.into()))?;
    toc.check(&trailer).map_err(|error| damaged(error.into()))?;
    let tail = reach(start, tail, toc.meta_offset())?;
    Ok([&len_bytes.to_le_bytes()[..], &header, &tail].concat())
}
