//! Which chunks can no longer be had from the store.

use std::collections::{HashMap, HashSet};

use crate::id::{ChunkId, ChunkSet, ObjectId};
use crate::repo::Location;

/// Chunks that are lost: single ones, and those behind the end of packs that are missing or cut.
#[derive(Default)]
pub struct Damage {
    /// What is left of packs that are too short, in bytes; 0 if nothing is.
    cut: HashMap<ObjectId, u64>,
    /// Packs of which anything is wrong.
    packs: HashSet<ObjectId>,
    /// Chunks that a pack should hold and does not.
    placed: HashSet<(ObjectId, ChunkId)>,
    /// Chunks that are lost wherever they lie.
    chunks: ChunkSet,
}

impl Damage {
    /// Notes that only the first `len_bytes` of a pack are there.
    pub fn cut(&mut self, pack: ObjectId, len_bytes: u64) {
        self.packs.insert(pack);
        self.cut.insert(pack, len_bytes);
    }

    /// Notes that something is wrong with a pack, and which chunks of it are lost by that.
    pub fn spoil(&mut self, pack: ObjectId, lost: impl IntoIterator<Item = ChunkId>) {
        self.packs.insert(pack);
        self.placed.extend(lost.into_iter().map(|chunk| (pack, chunk)));
    }

    /// Notes a chunk that is lost wherever it lies.
    pub fn lose(&mut self, chunk: ChunkId) {
        self.chunks.insert(chunk);
    }

    /// Returns whether a chunk that the index places here is lost.
    pub fn is_lost(&self, id: &ChunkId, location: &Location) -> bool {
        let end = u64::from(location.offset) + u64::from(location.stored_len);
        self.cut.get(&location.pack.name).is_some_and(|left| end > *left)
            || self.chunks.contains(id)
            || self.placed.contains(&(location.pack.name, *id))
    }

    /// Returns the packs of which anything is wrong.
    pub fn packs(&self) -> &HashSet<ObjectId> {
        &self.packs
    }
}
