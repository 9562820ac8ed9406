//! The end of a run: the records of trees, the table and the trailer. Who looks at trees needs
//! nothing else of a distant run.
//!
//! Its local copy is the run's length (8 bytes, little-endian), the run's header, and the run's
//! bytes from the records of trees on, still sealed. It is not checked against the run's name,
//! which is a hash of all of it: every part is authenticated under a key that follows from the
//! header, and a chunk is verified by its id wherever it is found, so that another run of the
//! repository in its place could only fail to name chunks.

use std::ops::Range;

use crate::container::{ContainerError, Opener};
use crate::crypto::container_keys::RecordKeys;
use crate::format::container::{ContainerKind, HEADER_LEN_BYTES, TRAILER_LEN_BYTES};
use crate::format::run::RunToc;
use crate::repo::error::{Error, Result};
use crate::repo::objects::parallel;
use crate::store::{Key, Store};

/// Longest run in bytes that is fetched as a whole at once, whether all of it is needed or not.
pub const WHOLE_MAX_BYTES: u64 = 2 << 20;
/// Length of the length that begins the local copy, in bytes.
pub const LEN_BYTES: usize = 8;
/// Which part of a run is fetched before it is known where its end begins: two to five records of a
/// hundred are of trees.
const GUESS_DIVISOR: u64 = 16;

/// Returns how many bytes are fetched of the end of a run of this length, unless it turns out to
/// begin earlier.
pub fn guess(len_bytes: u64) -> u64 {
    (len_bytes / GUESS_DIVISOR).max(TRAILER_LEN_BYTES as u64)
}

/// Returns whether looks at a run of this length, in a distant store, fetch its end alone.
pub fn is_long(len_bytes: u64) -> bool {
    len_bytes > WHOLE_MAX_BYTES
}

/// Returns which parts of a long run are fetched first: its header, and as much of its end as is
/// guessed.
pub fn first_ranges(len_bytes: u64) -> [Range<u64>; 2] {
    let header_len = HEADER_LEN_BYTES as u64;
    [0..header_len, (len_bytes - guess(len_bytes)).max(header_len)..len_bytes]
}

/// Reads header and trailer of a run that is listed with this length, and verifies them.
pub fn verify(store: &dyn Store, keys: &RecordKeys, key: &Key, len_bytes: u64) -> Result<()> {
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

/// Fetches header and end of a run, `len_bytes` long in the store, at once, and what is missing of
/// the end after that.
///
/// Header, table and trailer are verified; blocks are when they are used. Returns the bytes of the
/// local copy.
pub fn fetch(store: &dyn Store, keys: &RecordKeys, key: &Key, len_bytes: u64) -> Result<Vec<u8>> {
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
    // Makes what begins at `from` begin at `to`: with what is missing, or without what is too much.
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
