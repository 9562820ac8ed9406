//! Mark phase: marks every index record that roots reach, and spares the condemned packs that are
//! needed.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use crate::format::container::ChunkKind;
use crate::format::snapshot::Snapshot;
use crate::id::{ChunkId, ObjectId};
use crate::monitor::Monitor;
use crate::repo::index::ChunkPlace;
use crate::repo::read::reachable::{MarkBits, Visitor, Walkers, visit_unmarked};
use crate::repo::{Error, Reader, Result, Trees};
use crate::sync::{self, lock};

/// The marking of one index.
pub(super) struct Marking<'a> {
    /// Reads trees; its index avoids the condemned packs.
    pub reader: &'a Arc<Reader>,
    /// The marks, one for each record of its index.
    pub marks: &'a MarkBits,
    /// Threads to walk with.
    pub pool: &'a rayon::ThreadPool,
    /// Receives progress, and says when to stop.
    pub monitor: &'a Monitor,
}

impl Marking<'_> {
    /// MarkBits every record that locates a chunk of these snapshots.
    ///
    /// A `condemned` pack that is the only place of a chunk is removed from the set. Fails if a
    /// chunk is missing: then the repository is damaged, and nothing may be removed.
    pub(super) fn mark(
        &self,
        snapshots: &[Snapshot],
        condemned: &mut HashSet<ObjectId>,
    ) -> Result<()> {
        self.walk(snapshots, condemned)?.map_or(Ok(()), Err)
    }

    /// MarkBits the chunks that exist of snapshots that need not be complete.
    ///
    /// Fails at an error that is worse than `passed_over`. A caller that removes objects by these
    /// marks may pass over lost chunks only: an unreadable chunk may become readable again.
    pub(super) fn mark_what_is_there(
        &self,
        snapshots: &[Snapshot],
        condemned: &mut HashSet<ObjectId>,
        passed_over: MarkFailure,
    ) -> Result<()> {
        match self.walk(snapshots, condemned)? {
            Some(error) if kind_of(&error) > passed_over => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns the worst error with a chunk.
    fn walk(
        &self,
        snapshots: &[Snapshot],
        condemned: &mut HashSet<ObjectId>,
    ) -> Result<Option<Error>> {
        let roots: Vec<_> =
            snapshots.iter().map(|snapshot| (snapshot.root, snapshot.stats.totals)).collect();
        let marker = Marker {
            reader: self.reader,
            condemned: Mutex::new(std::mem::take(condemned)),
            failure: Mutex::default(),
        };
        let trees = Trees::new(self.reader.clone());
        let walkers = Walkers { pool: self.pool, monitor: self.monitor };
        visit_unmarked(&trees, &roots, &marker, self.marks, &walkers)?;
        *condemned = sync::into_inner(marker.condemned);
        Ok(sync::into_inner(marker.failure))
    }
}

/// Kinds of errors with a chunk, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MarkFailure {
    /// The chunk is lost.
    Lost,
    /// The chunk exists, and cannot be read.
    Unreadable,
    /// The chunk's state is unknown: the local copy of the index is bad, or the store failed.
    Other,
}

fn kind_of(error: &Error) -> MarkFailure {
    match error {
        error if error.is_unreadable() => MarkFailure::Unreadable,
        error if error.is_damage() && !error.is_of_index() => MarkFailure::Lost,
        _ => MarkFailure::Other,
    }
}

struct Marker<'a> {
    reader: &'a Reader,
    condemned: Mutex<HashSet<ObjectId>>,
    failure: Mutex<Option<Error>>,
}

impl Marker<'_> {
    /// Spares the first condemned pack that has a chunk; returns false if there is none.
    fn spare(&self, id: &ChunkId) -> Result<bool> {
        let mut condemned = lock(&self.condemned);
        for place in self.reader.index().places(id)? {
            if condemned.remove(&place.location.pack.name) {
                self.reader.index().trust_pack(&place.location.pack.name);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn fail(&self, error: Error) {
        let mut failure = lock(&self.failure);
        // The worst one decides: a lost chunk may be passed over, an unreadable one may not.
        if failure.as_ref().is_none_or(|known| kind_of(known) < kind_of(&error)) {
            *failure = Some(error);
        }
    }
}

impl Visitor for Marker<'_> {
    fn reached(
        &self,
        _kind: ChunkKind,
        id: &ChunkId,
        _len_bytes: Option<u32>,
        place: &ChunkPlace,
    ) -> bool {
        if place.is_trusted {
            return true;
        }
        // No trusted place: spare a condemned pack that has the chunk. Any other place may be in a
        // pack that is gone.
        match self.spare(id) {
            Err(error) => self.fail(error),
            Ok(true) => {}
            Ok(false) if self.reader.index().avoids(&place.location.pack.name) => {
                self.fail(Error::MissingChunk { id: *id })
            }
            Ok(false) => {}
        }
        true
    }

    fn missing(&self, _kind: ChunkKind, id: &ChunkId) {
        self.fail(Error::MissingChunk { id: *id });
    }

    fn fault(&self, _kind: ChunkKind, _id: &ChunkId, error: Error) {
        self.fail(error);
    }
}
