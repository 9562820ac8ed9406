//! Reads of listed objects.
//!
//! The listed length is checked before memory is allocated, because a store without a key can add
//! objects of any length. And an object that the store lists but does not return is not taken for a
//! removed one.

use std::thread;
use std::time::Duration;

use crate::format::codec::DecodeError;
use crate::format::limits::CONTROL_LEN_MAX_BYTES;
use crate::repo::error::{Error, Result};
use crate::store::{Key, Store, StoreError};

/// Pauses between attempts in milliseconds for a local directory, which may be on a network file
/// system whose listings are some seconds old.
const PAUSES_MS: [u64; 3] = [300, 2_000, 5_000];
/// Pauses for other stores, whose listings are up to date.
const NO_PAUSES_MS: [u64; 1] = [0];

/// Reads an object of `config/`, `snapshots/`, `intents/` or `gc/` with its listed length.
///
/// Fails with `Malformed`, without reading, if it is longer than any of them can be; else like
/// [`read_there`].
pub fn read_listed(store: &dyn Store, key: &Key, len_bytes: u64) -> Result<Vec<u8>> {
    if len_bytes > CONTROL_LEN_MAX_BYTES {
        return Err(Error::malformed(key)(DecodeError::new(
            "object",
            "longer than any of its class can be",
        )));
    }
    read_whole(store, key, len_bytes)
}

/// Returns the memory that [`read_listed`] needs for an object with this listed length, in bytes.
pub fn memory_of(len_bytes: u64) -> u64 {
    if len_bytes > CONTROL_LEN_MAX_BYTES { 0 } else { len_bytes }
}

/// Reads like [`read_listed`] an object that is not listed; asks for its length first.
pub fn read_small(store: &dyn Store, key: &Key) -> Result<Vec<u8>> {
    let len_bytes = store.stat(key)?;
    read_listed(store, key, len_bytes)
}

/// Reads exactly the listed length of an object, even if the object is longer by now, so that the
/// length that was checked bounds the memory; else like [`read_there`].
pub fn read_whole(store: &dyn Store, key: &Key, len_bytes: u64) -> Result<Vec<u8>> {
    read_there(store, key, || Ok(read_exactly(store, key, len_bytes)?))
}

/// Reads the first `len_bytes` bytes of an object, which may be 0.
pub fn read_exactly(
    store: &dyn Store,
    key: &Key,
    len_bytes: u64,
) -> std::result::Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    if len_bytes > 0 {
        store.read_into(key, 0..len_bytes, &mut bytes)?;
    }
    Ok(bytes)
}

/// Reads a listed object by `read`.
///
/// Fails with `NotFound` only if the object is not listed any more. An object that the store still
/// lists but does not find counts as damaged, so that nothing is concluded from its absence.
pub fn read_there<T>(
    store: &dyn Store,
    key: &Key,
    mut read: impl FnMut() -> Result<T>,
) -> Result<T> {
    let pauses: &[u64] = if store.properties().is_local { &PAUSES_MS } else { &NO_PAUSES_MS };
    for pause_ms in pauses {
        match read() {
            Err(error) if error.is_not_found() && is_listed(store, key)? => {
                thread::sleep(Duration::from_millis(*pause_ms))
            }
            read => return read,
        }
    }
    // The object may have been removed and created again.
    match read() {
        Err(error) if error.is_not_found() && is_listed(store, key)? => Err(Error::malformed(key)(
            DecodeError::new("object", "the store lists it, and says that it is not there"),
        )),
        read => read,
    }
}

fn is_listed(store: &dyn Store, key: &Key) -> Result<bool> {
    Ok(store.list(key.class, &key.name)?.iter().any(|object| object.name == key.name))
}
