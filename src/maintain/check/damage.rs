//! Which chunks can no longer be had from the store.

use std::collections::{HashMap, HashSet};

use crate::id::{ChunkId, ChunkSet, ObjectId};
use crate::repo::Location;

/// Chunks that are lost: single ones, and those behind the end of packs that are missing or cut.
#[derive(Default)]
pub struct Damage {
    /// What is left of packs that are too short, in bytes; 0 if nothing is.
    truncated: HashMap<ObjectId, u64>,
    /// Packs of which anything is wrong.
    packs: HashSet<ObjectId>,
    /// Those that are listed, and that the store did not give, or not wholly.
    unread: HashSet<ObjectId>,
    /// Those that collectors removed although runs name them yet: that is no damage, but what lies
    /// nowhere else is lost.
    gone: HashSet<ObjectId>,
    /// Chunks that a pack should hold and does not.
    placed: HashSet<(ObjectId, ChunkId)>,
    /// Chunks that are lost wherever they lie.
    chunks: ChunkSet,
    /// Chunks and lists of which an entry or a list says another length than they have, with that
    /// length.
    misstated: HashSet<(ChunkId, u64)>,
}

impl Damage {
    /// Notes that only the first `len_bytes` of a pack are there.
    pub fn record_truncated(&mut self, pack: ObjectId, len_bytes: u64) {
        self.packs.insert(pack);
        self.truncated.insert(pack, len_bytes);
    }

    /// Notes that a pack was removed.
    pub fn record_gone(&mut self, pack: ObjectId) {
        self.record_truncated(pack, 0);
        self.gone.insert(pack);
    }

    /// Notes that nobody removed a pack that is not there: all that it held is told with it.
    pub fn record_missing(&mut self, pack: ObjectId) {
        self.gone.remove(&pack);
    }

    /// Returns whether a pack was removed.
    pub fn is_gone(&self, pack: &ObjectId) -> bool {
        self.gone.contains(pack)
    }

    /// Returns the packs that were removed.
    pub fn gone_packs(&self) -> &HashSet<ObjectId> {
        &self.gone
    }

    /// Notes that something is wrong with a pack, and which chunks of it are lost by that.
    pub fn record_damaged(&mut self, pack: ObjectId, lost: impl IntoIterator<Item = ChunkId>) {
        self.packs.insert(pack);
        self.placed.extend(lost.into_iter().map(|chunk| (pack, chunk)));
    }

    /// Notes that the store lists a pack, and did not give it.
    pub fn record_unread(&mut self, pack: ObjectId) {
        self.unread.insert(pack);
    }

    /// Returns the packs that are listed and were not given.
    pub fn unread_packs(&self) -> &HashSet<ObjectId> {
        &self.unread
    }

    /// Notes a chunk that is lost wherever it lies.
    pub fn record_lost(&mut self, chunk: ChunkId) {
        self.chunks.insert(chunk);
    }

    /// Notes that something states another length of a chunk or a list than it has: who reads by
    /// that has nothing.
    pub fn record_misstated(&mut self, chunk: ChunkId, len_bytes: u64) {
        self.misstated.insert((chunk, len_bytes));
    }

    /// Returns whether a chunk or list is known to have another length.
    pub fn is_misstated(&self, id: &ChunkId, len_bytes: u64) -> bool {
        !self.misstated.is_empty() && self.misstated.contains(&(*id, len_bytes))
    }

    /// Takes over what is known of lengths, which no other index changes.
    pub fn take_lengths(&mut self, other: &Self) {
        self.misstated.clone_from(&other.misstated);
    }

    /// Returns how many wrong lengths are known.
    pub fn misstated_count(&self) -> usize {
        self.misstated.len()
    }

    /// Returns whether a chunk that the index places here is lost.
    pub fn is_lost(&self, id: &ChunkId, location: &Location) -> bool {
        let end = u64::from(location.offset) + u64::from(location.stored_len);
        self.truncated.get(&location.pack.name).is_some_and(|left| end > *left)
            || self.chunks.contains(id)
            || self.placed.contains(&(location.pack.name, *id))
    }

    /// Returns the packs of which anything is wrong.
    pub fn packs(&self) -> &HashSet<ObjectId> {
        &self.packs
    }
}
