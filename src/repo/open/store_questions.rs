//! Properties of a repository's store, for operations and commands, which may not use the store
//! itself.

use super::repository::Repository;
use crate::format::run::PackRef;
use crate::repo::error::Result;
use crate::repo::objects::{layout, parallel};
use crate::store::{Class, Readiness, ThawTier};

impl Repository {
    /// Returns whether the store is a directory of this machine, so that reads cost no request.
    pub fn is_local(&self) -> bool {
        self.store().properties().is_local
    }

    /// Returns the best number of parallel requests.
    pub fn parallelism(&self) -> usize {
        self.store().properties().parallelism
    }

    /// Returns the length in bytes of each object of a class.
    pub fn object_lens(&self, class: Class) -> Result<Vec<u64>> {
        Ok(self.store().list(class, "")?.iter().map(|object| object.len_bytes).collect())
    }

    /// Returns whether a pack can be read now; `Ready` if the store has no archive classes.
    pub fn readiness(&self, pack: &PackRef) -> Result<Readiness> {
        self.store().archive().map_or(Ok(Readiness::Ready), |archive| {
            Ok(archive.readiness(&layout::pack_key(pack.class, &pack.name))?)
        })
    }

    /// Requests that a pack in an archive class becomes readable for `days` days.
    pub fn thaw(&self, pack: &PackRef, days: u32, tier: ThawTier) -> Result<()> {
        self.store().archive().map_or(Ok(()), |archive| {
            Ok(archive.thaw(&layout::pack_key(pack.class, &pack.name), days, tier)?)
        })
    }

    /// Calls two functions, in parallel if the store is remote.
    pub fn both<A: Send, B>(
        &self,
        first: impl FnOnce() -> A + Send,
        second: impl FnOnce() -> B,
    ) -> (A, B) {
        parallel::both(self.store(), first, second)
    }

    /// Works on each item and returns the results in order; works on many at once if the store is
    /// remote.
    pub fn for_each<I: Sync, T: Send>(
        &self,
        items: &[I],
        work: impl Fn(&I) -> T + Sync,
    ) -> Result<Vec<T>> {
        parallel::for_each(self.store(), items, work)
    }
}
