//! Reader of packs with trees: first by ranges from the store, later from a local copy of the whole
//! pack.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use super::padded::{self, PaddedPart};
use crate::container::{ContainerError, name_of};
use crate::format::run::{PackClass, PackRef};
use crate::id::ObjectId;
use crate::repo::cache::lru::ByteLru;
use crate::repo::cache::{self, LocalCopy};
use crate::repo::error::{Error, Result};
use crate::repo::index::DRAFTS;
use crate::repo::objects::layout;
use crate::repo::objects::sized_read::read_exactly;
use crate::repo::open::Repository;
use crate::store::ErrorKind;
use crate::sync::lock;

/// Number of ranges that are read of a pack before a copy of the whole pack is fetched: a single
/// path needs one or two segments of a pack, a walk needs most of them.
const RANGES_MAX: u8 = 4;
/// Number of copies that are kept open.
const FILES_MAX: usize = 64;
/// Number of packs whose ranges are counted.
const COUNTED_MAX: usize = 4096;

/// Reads packs with trees; shared between threads.
pub(super) struct TreePacks {
    files: Mutex<ByteLru<ObjectId, Arc<LocalCopy>>>,
    ranges_read: Mutex<ByteLru<ObjectId, u8>>,
}

impl Default for TreePacks {
    fn default() -> Self {
        Self {
            files: Mutex::new(ByteLru::new(FILES_MAX)),
            ranges_read: Mutex::new(ByteLru::new(COUNTED_MAX)),
        }
    }
}

impl TreePacks {
    /// Replaces `part` by a range of a pack's stored bytes.
    pub(super) fn read_range(
        &self,
        repository: &Repository,
        pack: &PackRef,
        range: Range<u64>,
        part: &mut PaddedPart,
    ) -> Result<()> {
        let key = layout::pack_key(PackClass::Meta, &pack.name);
        let from_store = |part| {
            Ok(padded::read(repository.store(), &key, range.clone(), pack.len.into(), part)?)
        };
        let file = match self.file(repository, pack) {
            Ok(Some(file)) => file,
            // A damaged pack is not copied, but its intact segments can still be read.
            Ok(None) | Err(Error::WrongContent { .. }) => return from_store(part),
            Err(error) => return Err(error),
        };
        let short = |_| Error::Damaged { object: key.to_string(), source: ContainerError::Short };
        part.fill(|out| {
            let start = out.len();
            out.resize(start + (range.end - range.start) as usize, 0);
            file.read_exact_at(&mut out[start..], range.start).map_err(short)
        })
    }

    /// Removes the local copy of a pack, which may be damaged.
    pub(super) fn drop_copy(&self, repository: &Repository, name: &ObjectId) {
        repository.cache().remove(cache::TREES, &name.to_hex());
        lock(&self.files).remove(name);
    }

    /// Returns the copy of a pack, or `None` as long as it is not worth fetching.
    fn file(&self, repository: &Repository, pack: &PackRef) -> Result<Option<Arc<LocalCopy>>> {
        if let Some(file) = lock(&self.files).get(&pack.name) {
            return Ok(Some(file));
        }
        let name = pack.name.to_hex();
        // A pack that a repair has made but not stored exists only as a draft, because the cache
        // may have dropped its copy.
        let draft = || repository.cache().open_copy(DRAFTS, &name).ok();
        let copy = repository.cache().open_trees(&name, u64::from(pack.len)).or_else(draft);
        let file = match copy {
            Some(file) => file,
            // A small pack is read as a whole in any case.
            None if u64::from(pack.len) > padded::BLOCK_LEN_BYTES
                && self.count_range(&pack.name) <= RANGES_MAX =>
            {
                return Ok(None);
            }
            None => fetch(repository, pack)?,
        };
        let file = Arc::new(file);
        lock(&self.files).insert(pack.name, file.clone(), 1);
        Ok(Some(file))
    }

    /// Counts one more range of a pack, and returns the count.
    fn count_range(&self, name: &ObjectId) -> u8 {
        let mut counts = lock(&self.ranges_read);
        let count = counts.get(name).unwrap_or(0).saturating_add(1);
        counts.insert(*name, count, 1);
        count
    }
}

/// Fetches a whole pack, checks it against its name and keeps a copy.
fn fetch(repository: &Repository, pack: &PackRef) -> Result<LocalCopy> {
    let key = layout::pack_key(PackClass::Meta, &pack.name);
    let bytes = match read_exactly(repository.store(), &key, pack.len.into()) {
        Err(error) if error.kind == ErrorKind::Short => Vec::new(),
        read => read?,
    };
    if name_of(&bytes) != pack.name {
        return Err(Error::WrongContent { object: key.to_string() });
    }
    repository.cache().write_trees(&pack.name.to_hex(), &bytes)
}
