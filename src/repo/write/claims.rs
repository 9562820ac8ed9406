//! Ids of chunks that this session stores and that no index run names yet.

use std::sync::Mutex;

use crate::id::{ChunkId, ChunkSet};
use crate::sync::lock;

const SHARDS: usize = 16;

/// A set of ids in shards, so that lanes rarely wait for each other.
#[derive(Default)]
pub(crate) struct Claims([Mutex<ChunkSet>; SHARDS]);

impl Claims {
    /// Returns whether `id` was claimed.
    pub(crate) fn contains(&self, id: &ChunkId) -> bool {
        lock(self.shard(id)).contains(id)
    }

    /// Claims `id`; true for the first caller only.
    pub(crate) fn insert(&self, id: &ChunkId) -> bool {
        lock(self.shard(id)).insert(*id)
    }

    /// Forgets ids that an index run names by now.
    pub(crate) fn forget<'a>(&self, ids: impl Iterator<Item = &'a ChunkId>) {
        for id in ids {
            lock(self.shard(id)).remove(id);
        }
    }

    fn shard(&self, id: &ChunkId) -> &Mutex<ChunkSet> {
        &self.0[usize::from(id.0[31]) % SHARDS]
    }
}
