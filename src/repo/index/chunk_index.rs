//! The index of one open repository, kept equal to what the store holds. Spec:
//! `format-spec/06-index.md`, section 4.
//!
//! Index runs are records: a backup reads them too, without any key that opens packs.

use std::sync::Arc;

use super::{IndexSet, Location};
use crate::id::ChunkId;
use crate::repo::error::Result;
use crate::repo::open::Repository;

/// How often the index is listed again because a run went away while a chunk was looked up.
const ATTEMPTS_MAX: usize = 8;

/// Finds chunks of one repository; shared between threads.
pub struct ChunkIndex {
    repository: Arc<Repository>,
    set: Arc<IndexSet>,
}

impl ChunkIndex {
    /// Makes an index of what the local cache holds; the store is not asked.
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

    /// Makes the index what the store holds now.
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
                // A prune replaced a run of which only the tail is here.
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

    /// Returns a place of the chunk that may be relied on, or `None` if it must be stored again.
    pub fn locate_trusted(&self, id: &ChunkId) -> Result<Option<Location>> {
        match self.set.find_trusted(id) {
            Err(error) if error.is_damage() => {
                self.locate(id).and_then(|_| self.set.find_trusted(id))
            }
            found => found,
        }
    }

    /// Forgets whole runs whose local copies went bad, so that the next sync fetches them again;
    /// returns whether there were any.
    ///
    /// A walk through trees begins again with it, once it is fetched.
    pub fn drop_bad_copies(&self) -> bool {
        self.set.drop_bad_copies(self.repository.cache())
    }

    /// Fetches what went bad in the local cache: whole runs are verified when they are fetched, and
    /// copies are hints.
    fn renew_copies(&self) -> Result<()> {
        self.drop_bad_copies();
        self.sync()?;
        let repository = &self.repository;
        self.set.renew_tails(repository.store(), repository.cache(), repository.records())
    }
}
