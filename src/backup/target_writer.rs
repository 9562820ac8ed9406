//! One thread's writer for one repository.

use std::io;

use super::chunk_stream::{ChunkStream, ChunkStreamError};
use super::context::TargetContext;
use super::fingerprints::FingerprintHasher;
use crate::chunker::{Cutter, Cutting};
use crate::format::entry::{Ref, Timestamp};
use crate::id::ChunkId;
use crate::repo::read::entries::DirEntries;
use crate::repo::write::list_builder::ListBuilder;
use crate::repo::{Lane, Result};

/// One thread's lane and chunk stream for one target. A thread has one for each target.
pub(super) struct TargetWriter<'t> {
    /// The target, with the parent's trees.
    pub target: &'t TargetContext<'t>,
    /// Fills segments.
    pub lane: Lane<'t>,
    stream: ChunkStream,
    /// Made when the first fingerprint is needed.
    hasher: Option<FingerprintHasher>,
}

impl<'t> TargetWriter<'t> {
    /// Opens a lane, and cuts with the target's keys. `parallel` hashes on all cores.
    pub(super) fn new(target: &'t TargetContext<'t>, cutting: Cutting, parallel: bool) -> Self {
        let cutter = Cutter::new(cutting, target.session.ids().gear());
        let stream = ChunkStream::new(cutter, parallel);
        Self { target, lane: Lane::new(target.session), stream, hasher: None }
    }

    /// Stores everything that `read` yields until it returns 0; returns the bytes read.
    pub(super) fn put_all(
        &mut self,
        list: &mut ListBuilder,
        read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> std::result::Result<u64, ChunkStreamError> {
        self.stream.put_all(&mut self.lane, list, read)
    }

    /// Stores bytes that are in memory already.
    pub(super) fn put_slice(&mut self, list: &mut ListBuilder, bytes: &[u8]) -> Result<()> {
        self.stream.put_slice(&mut self.lane, list, bytes)
    }

    /// Adds a hole of this many bytes.
    pub(super) fn put_hole(&mut self, list: &mut ListBuilder, len: u64) -> Result<()> {
        list.push(&mut self.lane, Ref::Hole { len })
    }

    /// Returns the entries of a tree of the parent.
    pub(super) fn parent_tree_entries(&self, tree: &ChunkId) -> DirEntries {
        let parent = self.target.parent.as_ref();
        parent.expect("trees of the parent are known only if there is one").trees.entries(tree)
    }

    /// Returns the thread's hasher, ready for another directory.
    pub(super) fn empty_hasher(&mut self, settled_before: Timestamp) -> &mut FingerprintHasher {
        let new = || self.target.directories.hasher(settled_before, None);
        let hasher = self.hasher.get_or_insert_with(new);
        hasher.reset();
        hasher
    }
}
