//! Stored bytes of packs with trees: from the store by ranges at first, from a local copy of the
//! whole pack when more is wanted.

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

/// How many ranges of a pack are read before all of it is worth a copy: a path leads through one or
/// two segments of a pack, who walks a tree wants most of them.
const RANGES_MAX: u8 = 4;
/// Open files of copies.
const FILES_MAX: usize = 64;
/// How many packs it is known of how often they were read.
const COUNTED_MAX: usize = 4096;

/// Reads packs with trees; shared between threads.
pub struct TreePacks {
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
    pub fn read_range(
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
            // A damaged pack makes no copy, but those of its segments that are sound are as good as
            // ever.
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

    /// Removes the local copy of a pack, which may be what is bad.
    pub fn drop_copy(&self, repository: &Repository, name: &ObjectId) {
        repository.cache().remove(cache::TREES, &name.to_hex());
        lock(&self.files).remove(name);
    }

    /// Returns the copy of a pack, or `None` as long as none is worth making.
    fn file(&self, repository: &Repository, pack: &PackRef) -> Result<Option<Arc<LocalCopy>>> {
        if let Some(file) = lock(&self.files).get(&pack.name) {
            return Ok(Some(file));
        }
        let name = pack.name.to_hex();
        // A pack that a repair has made and not stored is in no store, and copies make room for
        // each other.
        let draft = || repository.cache().open_copy(DRAFTS, &name).ok();
        let copy = repository.cache().open_trees(&name, u64::from(pack.len)).or_else(draft);
        let file = match copy {
            Some(file) => file,
            // A small one is read as a whole anyway.
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

    /// Counts one more range that is wanted of a pack.
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
