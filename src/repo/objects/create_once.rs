//! Creating an object that nobody else may have created first.

use super::sized_read::read_small;
use crate::repo::error::Result;
use crate::store::{ErrorKind, Key, Store};

/// How a race for a name ended.
pub enum Put {
    /// The object has the bytes that were given.
    Made,
    /// Another process was first; these are the bytes.
    Exists(Vec<u8>),
}

/// Creates an object; a `create` whose answer was lost is success if the object has these bytes.
///
/// No other failure is: a disk that could not keep an object still shows it until it is mounted
/// again.
///
/// The bytes must hold something random, so that nobody else makes the same.
pub fn put(store: &dyn Store, key: &Key, bytes: &[u8]) -> Result<Put> {
    let Err(error) = store.create(key, bytes) else {
        return Ok(Put::Made);
    };
    if !matches!(error.kind, ErrorKind::Exists | ErrorKind::Unanswered) {
        return Err(error.into());
    }
    match read_small(store, key) {
        Ok(found) if found == bytes => Ok(Put::Made),
        Ok(found) if error.kind == ErrorKind::Exists => Ok(Put::Exists(found)),
        _ => Err(error.into()),
    }
}
