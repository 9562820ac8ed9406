//! Exclusive creation of an object for which other processes may race.

use super::sized_read::read_small;
use crate::repo::error::Result;
use crate::store::{ErrorKind, Key, Store};

/// Result of a race for a name.
pub(crate) enum Created {
    /// The object has the bytes that were given.
    ByUs,
    /// Another process was first; these are the bytes.
    ByOther(Vec<u8>),
}

/// Creates an object; if the answer of the store was lost, it is a success if the object has these
/// bytes.
///
/// Other failures are never a success: a disk that could not write an object may still show it
/// until it is mounted again.
///
/// The bytes must hold random ones, so that no other process creates the same.
pub(crate) fn create_once(store: &dyn Store, key: &Key, bytes: &[u8]) -> Result<Created> {
    let Err(error) = store.create(key, bytes) else {
        return Ok(Created::ByUs);
    };
    if !matches!(error.kind, ErrorKind::Exists | ErrorKind::Unanswered) {
        return Err(error.into());
    }
    match read_small(store, key) {
        Ok(found) if found == bytes => Ok(Created::ByUs),
        Ok(found) if error.kind == ErrorKind::Exists => Ok(Created::ByOther(found)),
        _ => Err(error.into()),
    }
}
