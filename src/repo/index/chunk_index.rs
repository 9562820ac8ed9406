//! Index of one open repository, kept equal to the runs in the store.
//!
//! Spec: `format-spec/06-index.md`, section 4.
//!
//! Index runs are opened with the keys of records, so a backup can read them without keys that open
//! packs.

use std::sync::Arc;

use super::{IndexSet, Location};
use crate::id::ChunkId;
use crate::repo::error::Result;
use crate::repo::open::Repository;

/// Most attempts of a lookup, as long as runs are removed meanwhile.
const ATTEMPTS_MAX: usize = 8;

/// Finds chunks of one repository; shared between threads.
pub struct ChunkIndex {
    repository: Arc<Repository>,
    set: Arc<IndexSet>,
}

impl ChunkIndex {
    /// Makes an index of the runs in the local cache, without a request to the store.
    pub fn offline(repository: &Arc<Repository>) -> Result<Self> {
        let set = IndexSet::open_cached(repository.cache(), repository.records())?;
        Ok(Self::of(repository, set))
    }

    /// Makes an index of these runs.
    pub(in crate::repo) fn of(repository: &Arc<Repository>, set: IndexSet) -> Self {
        Self { repository: repository.clone(), set: Arc::new(set) }
    }

    /// Returns the repository.
    pub fn repository(&self) -> &Arc<Repository> {
        &self.repository
    }

    /// Returns the runs.
    pub fn set(&self) -> &Arc<IndexSet> {
        &self.set
    }

    /// Makes the index equal to the runs in the store.
    pub fn sync(&self) -> Result<()> {
        let repository = &self.repository;
        let synced = self.set.sync(repository.store(), repository.cache(), repository.records());
        self.set
            .take_skipped()
            .iter()
            .for_each(|(run, error)| repository.verified().skipped_runs.report(run, error));
        synced
    }

    /// Returns a place of the chunk, or `None` if the index names none.
    pub fn locate(&self, id: &ChunkId) -> Result<Option<Location>> {
        let (mut attempts, mut is_renewed) = (1, false);
        loop {
            match self.set.find(id) {
                // A collector replaced a run of which only the tail is here.
                Err(error) if error.is_not_found() && attempts < ATTEMPTS_MAX => {
                    attempts += 1;
                    self.sync()?;
                }
                Err(error)
                    if error.is_damage()
                        && !error.is_not_found()
                        && !is_renewed
                        && !self.set.is_frozen() =>
                {
                    is_renewed = true;
                    self.renew_copies()?;
                }
                found => return found,
            }
        }
    }

    /// Returns a trusted place of the chunk, or `None` if it must be stored again.
    pub fn locate_trusted(&self, id: &ChunkId) -> Result<Option<Location>> {
        match self.set.find_trusted(id) {
            Err(error) if error.is_damage() => {
                self.locate(id).and_then(|_| self.set.find_trusted(id))
            }
            found => found,
        }
    }

    /// Drops whole runs whose local copies are damaged, so that the next sync fetches them again;
    /// returns whether there were any.
    ///
    /// A traversal of trees must then begin again.
    pub fn drop_bad_copies(&self) -> bool {
        self.set.drop_bad_copies(self.repository.cache())
    }

    /// Fetches damaged local copies again: runs are verified when they are fetched, and copies are
    /// hints.
    fn renew_copies(&self) -> Result<()> {
        self.drop_bad_copies();
        self.sync()?;
        let repository = &self.repository;
        self.set.renew_tails(repository.store(), repository.cache(), repository.records())
    }
}
