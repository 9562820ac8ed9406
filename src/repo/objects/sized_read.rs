//! Reading objects that are listed: small ones whose length a listing states, so that what nobody
//! with a key made costs no memory, and any that a store may list and not give.

use std::thread;
use std::time::Duration;

use crate::format::codec::DecodeError;
use crate::format::limits::CONTROL_LEN_MAX_BYTES;
use crate::repo::error::{Error, Result};
use crate::store::{Key, Store, StoreError};

/// How long to wait between looks, in milliseconds, at a folder: it may be a network's, and what is
/// known of its names some seconds old.
const PAUSES_MS: [u64; 3] = [300, 2_000, 5_000];
/// The same for other stores, whose listings are of the moment.
const NO_PAUSES_MS: [u64; 1] = [0];

/// Reads an object of `config/`, `snapshots/`, `intents/` or `gc/` that is listed with this length.
///
/// What is longer than any of them can be is not read, and fails as what cannot be understood. Else
/// as [`read_there`].
pub fn read_listed(store: &dyn Store, key: &Key, len_bytes: u64) -> Result<Vec<u8>> {
    if len_bytes > CONTROL_LEN_MAX_BYTES {
        return Err(Error::malformed(key)(DecodeError::new(
            "object",
            "longer than any of its class can be",
        )));
    }
    read_whole(store, key, len_bytes)
}

/// Returns how much memory it takes to read one that is listed with this length.
pub fn memory_of(len_bytes: u64) -> u64 {
    if len_bytes > CONTROL_LEN_MAX_BYTES { 0 } else { len_bytes }
}

/// Reads one of these objects that is not listed: its length is asked for first.
pub fn read_small(store: &dyn Store, key: &Key) -> Result<Vec<u8>> {
    let len_bytes = store.stat(key)?;
    read_listed(store, key, len_bytes)
}

/// Reads an object that is listed with this length, and no byte more, whatever the store has for it
/// by now: a listed length that was found to be harmless bounds what is read. Else as
/// [`read_there`].
pub fn read_whole(store: &dyn Store, key: &Key, len_bytes: u64) -> Result<Vec<u8>> {
    read_there(store, key, || Ok(read_exactly(store, key, len_bytes)?))
}

/// Reads the first bytes of an object, which may be none.
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

/// Reads an object that is listed, by `read`.
///
/// Fails with `NotFound` only if it went since: what the store goes on listing and says that it is
/// not there is damaged. Nothing may be concluded from its absence.
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
    // It may have gone and come back.
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
