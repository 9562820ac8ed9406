//! Creating an object that nobody else may have created first.

use super::sized_read::read_small;
use crate::repo::error::Result;
use crate::store::{ErrorKind, Key, Store};

/// How a race for a name ended.
pub enum Created {
    /// The object has the bytes that were given.
    ByUs,
    /// Another process was first; these are the bytes.
    ByOther(Vec<u8>),
}

/// Creates an object; a `create` whose answer was lost is success if the object has these bytes.
///
/// No other failure is: a disk that could not keep an object still shows it until it is mounted
/// again.
///
/// The bytes must hold something random, so that nobody else makes the same.
pub fn create_once(store: &dyn Store, key: &Key, bytes: &[u8]) -> Result<Created> {
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
