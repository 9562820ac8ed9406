//! Damage that a check found: chunks that can no longer be read from the store.

use std::collections::{HashMap, HashSet};

use crate::id::{ChunkId, ChunkSet, ObjectId};
use crate::repo::Location;

/// Lost chunks: single ones, and those after the end of truncated or missing packs.
#[derive(Default)]
pub(crate) struct Damage {
    /// Remaining length of truncated packs in bytes; 0 for missing ones.
    truncated: HashMap<ObjectId, u64>,
    /// Packs with any damage.
    packs: HashSet<ObjectId>,
    /// Packs that the store lists but did not return completely.
    unread: HashSet<ObjectId>,
    /// Packs that a prune removed although index runs still name them. That is no damage, but a
    /// chunk that is nowhere else is lost.
    gone: HashSet<ObjectId>,
    /// Chunks that are lost in one pack.
    placed: HashSet<(ObjectId, ChunkId)>,
    /// Chunks that are lost in every pack.
    chunks: ChunkSet,
    /// Chunks and lists for which an entry or a list states a wrong length, with that length.
    misstated: HashSet<(ChunkId, u64)>,
}

impl Damage {
    /// Records that only the first `len_bytes` of a pack exist.
    pub(crate) fn record_truncated(&mut self, pack: ObjectId, len_bytes: u64) {
        self.packs.insert(pack);
        self.truncated.insert(pack, len_bytes);
    }

    /// Records that a prune removed a pack.
    pub(crate) fn record_gone(&mut self, pack: ObjectId) {
        self.record_truncated(pack, 0);
        self.gone.insert(pack);
    }

    /// Records that a missing pack was not removed by a prune: its chunks are reported with it.
    pub(crate) fn record_missing(&mut self, pack: ObjectId) {
        self.gone.remove(&pack);
    }

    /// Returns whether a prune removed a pack.
    pub(crate) fn is_gone(&self, pack: &ObjectId) -> bool {
        self.gone.contains(pack)
    }

    /// Returns the packs that a prune removed.
    pub(crate) fn gone_packs(&self) -> &HashSet<ObjectId> {
        &self.gone
    }

    /// Records damage to a pack, and the chunks that are lost in it.
    pub(crate) fn record_damaged(
        &mut self,
        pack: ObjectId,
        lost: impl IntoIterator<Item = ChunkId>,
    ) {
        self.packs.insert(pack);
        self.placed.extend(lost.into_iter().map(|chunk| (pack, chunk)));
    }

    /// Records that the store lists a pack but did not return it.
    pub(crate) fn record_unread(&mut self, pack: ObjectId) {
        self.unread.insert(pack);
    }

    /// Returns the packs that are listed but were not returned.
    pub(crate) fn unread_packs(&self) -> &HashSet<ObjectId> {
        &self.unread
    }

    /// Records a chunk that is lost in every pack.
    pub(crate) fn record_lost(&mut self, chunk: ChunkId) {
        self.chunks.insert(chunk);
    }

    /// Records a wrong stated length of a chunk or list: readers reject the chunk there.
    pub(crate) fn record_misstated(&mut self, chunk: ChunkId, len_bytes: u64) {
        self.misstated.insert((chunk, len_bytes));
    }

    /// Returns whether this length of a chunk or list is known to be wrong.
    pub(crate) fn is_misstated(&self, id: &ChunkId, len_bytes: u64) -> bool {
        !self.misstated.is_empty() && self.misstated.contains(&(*id, len_bytes))
    }

    /// Copies the wrong lengths, which do not depend on the index.
    pub(crate) fn take_lengths(&mut self, other: &Self) {
        self.misstated.clone_from(&other.misstated);
    }

    /// Returns the number of wrong lengths.
    pub(crate) fn misstated_count(&self) -> usize {
        self.misstated.len()
    }

    /// Returns whether a chunk is lost at this location.
    pub(crate) fn is_lost(&self, id: &ChunkId, location: &Location) -> bool {
        let end = u64::from(location.offset) + u64::from(location.stored_len);
        self.truncated.get(&location.pack.name).is_some_and(|left| end > *left)
            || self.chunks.contains(id)
            || self.placed.contains(&(location.pack.name, *id))
    }

    /// Returns the packs with any damage.
    pub(crate) fn packs(&self) -> &HashSet<ObjectId> {
        &self.packs
    }
}
