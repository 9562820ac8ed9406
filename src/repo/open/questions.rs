//! What operations may ask about the store of a repository, without touching it.

use super::repository::Repository;
use crate::repo::error::Result;
use crate::repo::objects::parallel;

impl Repository {
    /// Returns whether the store is a directory of this machine: looking costs no request.
    pub fn is_local(&self) -> bool {
        self.store().properties().is_local
    }

    /// Returns how many requests at once serve the store best.
    pub fn parallelism(&self) -> usize {
        self.store().properties().parallelism
    }

    /// Works on each item and returns the results in order: many at once if the store is remote.
    pub fn for_each<I: Sync, T: Send>(
        &self,
        items: &[I],
        work: impl Fn(&I) -> T + Sync,
    ) -> Result<Vec<T>> {
        parallel::for_each(self.store(), items, work)
    }
}
