//! Records of collectors: one sealed object for each word of a generation.
//!
//! A record is created once and never changes, so that of two collectors that write the same one,
//! both use the first. A generation counts as soon as one of its records can be opened; this
//! machine remembers its number.
//!
//! Spec: `format-spec/13-commit.md`, section 2.2.

use crate::format::codec::DecodeError;
use crate::format::container::ContainerKind;
use crate::format::entry::Timestamp;
use crate::format::generation::{CollectorRecord, RecordContent};
use crate::repo::error::{Error, Result};
use crate::repo::objects::create_once::{Created, create_once};
use crate::repo::objects::layout;
use crate::repo::objects::sized_read::{read_listed, read_small};
use crate::repo::open::{Repository, check_writable};
use crate::store::Key;

/// Cache group of local copies of records.
const CACHE_GROUP: &str = "gc";

/// Length and time of a record in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Length of the object.
    pub len_bytes: u64,
    /// Time of creation by the store's clock, in seconds since 1970, if the store states it.
    pub modified_s: Option<i64>,
}

/// Creates a record; returns the bytes of the existing one if there is one already.
pub(super) fn write(
    repository: &Repository,
    number: u64,
    now: Timestamp,
    content: RecordContent,
) -> Result<Option<Vec<u8>>> {
    check_writable(repository.config())?;
    let key = layout::generation_key(number, content.word());
    let record = CollectorRecord { number, created: now, content };
    let bytes = record.encode();
    // A record that no reader accepts must not be stored: it would stop all writers and collectors
    // for good.
    if CollectorRecord::decode(&bytes).map_err(Error::malformed(&key))? != record {
        return Err(Error::WrongContent { object: key.to_string() });
    }
    let sealed = repository.seal_single(ContainerKind::CollectorRecord, &bytes)?;
    match create_once(repository.store(), &key, &sealed.bytes)? {
        Created::ByUs => {
            repository.witness().saw_generation(number);
            Ok(None)
        }
        Created::ByOther(bytes) => Ok(Some(bytes)),
    }
}

/// Reads a record, from the local copy if that has the listed length and time.
///
/// Records never change, but if a repository was set back to an older state, its next generation
/// has a number that was used before.
pub(super) fn read_as_listed(
    repository: &Repository,
    number: u64,
    word: &str,
    stamp: Stamp,
) -> Result<CollectorRecord> {
    let Stamp { len_bytes, modified_s: Some(modified_s) } = stamp else {
        return read_whole(repository, number, word, stamp.len_bytes);
    };
    let key = layout::generation_key(number, word);
    let copy_name = format!("{}.{len_bytes}.{modified_s}", key.name);
    let copy = repository.cache().read(CACHE_GROUP, &copy_name);
    if let Some(record) = copy.and_then(|bytes| parse(repository, number, word, &bytes).ok()) {
        return Ok(record);
    }
    let bytes = read_listed(repository.store(), &key, len_bytes)?;
    let record = parse(repository, number, word, &bytes)?;
    let _ = repository.cache().write(CACHE_GROUP, &copy_name, &bytes);
    Ok(record)
}

/// Reads a record with its listed length from the store, not from the cache, and verifies it.
pub(in crate::repo) fn read_whole(
    repository: &Repository,
    number: u64,
    word: &str,
    len_bytes: u64,
) -> Result<CollectorRecord> {
    let bytes = read_listed(repository.store(), &layout::generation_key(number, word), len_bytes)?;
    parse(repository, number, word, &bytes)
}

/// Reads a record from the store, not from the cache, and verifies it.
pub(in crate::repo) fn read_from_store(
    repository: &Repository,
    number: u64,
    word: &str,
) -> Result<CollectorRecord> {
    parse(
        repository,
        number,
        word,
        &read_small(repository.store(), &layout::generation_key(number, word))?,
    )
}

/// Opens a record and verifies that it is the one of this generation and word.
pub(super) fn parse(
    repository: &Repository,
    number: u64,
    word: &str,
    bytes: &[u8],
) -> Result<CollectorRecord> {
    let key: Key = layout::generation_key(number, word);
    let plain = repository
        .open_single(ContainerKind::CollectorRecord, bytes)
        .map_err(Error::damaged(&key))?;
    let record = CollectorRecord::decode(&plain).map_err(Error::malformed(&key))?;
    if record.number != number || record.content.word() != word {
        return Err(Error::malformed(&key)(DecodeError::new(
            "collector's record",
            "in another's place",
        )));
    }
    repository.witness().saw_generation(number);
    Ok(record)
}

/// Removes the records of one generation, `condemned` last, without which the others do not count.
pub fn trim(repository: &Repository, number: u64) -> Result<()> {
    for word in ["done", "verdict", "condemned"] {
        repository.store().remove(&layout::generation_key(number, word))?;
    }
    let prefix = format!("{number}.");
    let copies = repository.cache().names(CACHE_GROUP);
    copies
        .iter()
        .filter(|name| name.starts_with(&prefix))
        .for_each(|name| repository.cache().remove(CACHE_GROUP, name));
    Ok(())
}
