//! Reading small objects whose length a listing states, so that what nobody with a key made costs no memory.

use super::error::{Error, Result};
use crate::format::codec::DecodeError;
use crate::format::limits::CONTROL_LEN_MAX_BYTES;
use crate::store::{Key, Store};

/// Reads an object of `config/`, `snapshots/`, `intents/` or `gc/` that is listed with this length.
///
/// What is longer than any of them can be is not read, and fails as what cannot be understood.
pub fn read_listed(store: &dyn Store, key: &Key, len_bytes: u64) -> Result<Vec<u8>> {
    if len_bytes > CONTROL_LEN_MAX_BYTES {
        return Err(Error::malformed(key)(DecodeError::new("object", "longer than any of its class can be")));
    }
    let mut bytes = Vec::new();
    if len_bytes > 0 {
        store.read_into(key, 0..len_bytes, &mut bytes)?;
    }
    Ok(bytes)
}
