//! Marking what roots reach, and which packs must therefore stay.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use crate::format::container::ChunkKind;
use crate::format::snapshot::Snapshot;
use crate::id::{ChunkId, ObjectId};
use crate::monitor::Monitor;
use crate::repo::index::Place;
use crate::repo::read::reachable::{Marks, Visitor, Walkers, visit_unmarked};
use crate::repo::{Error, Reader, Result, Trees};
use crate::sync::{self, lock};

/// Marking by one index.
pub struct Marking<'a> {
    /// Reads trees; its index avoids the packs that are condemned.
    pub reader: &'a Arc<Reader>,
    /// Those of the records of its index.
    pub marks: &'a Marks,
    /// Threads to walk with.
    pub pool: &'a rayon::ThreadPool,
    /// Is told of progress, and asked whether to stop.
    pub monitor: &'a Monitor,
}

impl Marking<'_> {
    /// Marks every record by which a chunk of these snapshots is found.
    ///
    /// `condemned` packs are left out where there is another place; those that are needed are
    /// removed from the set. Fails if a chunk is nowhere: then the repository is damaged, and
    /// nothing may be removed.
    pub fn mark(&self, snapshots: &[Snapshot], condemned: &mut HashSet<ObjectId>) -> Result<()> {
        self.walk(snapshots, condemned)?.map_or(Ok(()), Err)
    }

    /// Marks what is there of snapshots that need not be whole, and passes over what they lack.
    ///
    /// Fails at what is worse than `passed_over`. A caller that removes something by the marks
    /// passes over what is lost only: what a disk cannot read it may give again.
    pub fn mark_what_is_there(
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

    /// Returns the worst thing that went wrong with a chunk.
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

/// What an error says of what was looked for, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkFailure {
    /// It is lost.
    Lost,
    /// It is there, and cannot be read.
    Unreadable,
    /// Nothing: a copy of the index went bad here, or the store could not be asked.
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
    /// Spares the first condemned pack that has a chunk; returns false if none has it.
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
        // What is lost may be passed over; what could not be read just now may not.
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
        place: &Place,
    ) -> bool {
        if place.is_trusted {
            return true;
        }
        // Nowhere that may be relied on: a condemned pack that has it is spared. Another place may
        // be in a pack that is gone.
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
