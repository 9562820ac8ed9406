//! Prunes: plans, and carrying them out.

use std::time::Duration;

use super::defaults::threads;
use super::error::{Error, ErrorKind, Result};
use super::progress::{Progress, watched};
use super::repository::Repository;
use crate::id::SnapshotId;
use crate::maintain::prune::{self, Exclusion, PruneOptions};
use crate::monitor::Monitor;
use crate::repo::gc::reserve;
use crate::repo::open::probe;
use crate::text;

/// A prune that is about to be made.
#[must_use = "it does nothing before `plan` or `run`"]
pub struct Prune<'a> {
    repository: &'a Repository,
    options: PruneOptions,
    is_only_one: bool,
}

/// What a prune would do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PrunePlan {
    /// Snapshots that would leave the trash for good.
    pub dropped_snapshots: Vec<String>,
    /// Packs that nothing needs.
    pub unused_packs: u64,
    /// Their bytes.
    pub unused_pack_bytes: u64,
    /// Packs whose used content would be stored again, so that they can go.
    pub repacked_packs: u64,
    /// Their bytes.
    pub repacked_bytes: u64,
    /// Bytes that nothing needs and that would stay, because removing them is not worth it.
    pub left_unused_bytes: u64,
}

/// What a prune did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PruneReport {
    /// Snapshots that left the trash for good.
    pub dropped_snapshots: Vec<String>,
    /// Packs that were removed.
    pub removed_packs: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// By how many bytes the repository is smaller.
    pub freed_bytes: u64,
}

impl Repository {
    /// Prepares a prune: the removal of what no snapshot needs.
    pub fn prune(&self) -> Prune<'_> {
        Prune::new(self)
    }
}

impl<'a> Prune<'a> {
    pub(super) fn new(repository: &'a Repository) -> Self {
        let options = PruneOptions { threads: threads(), ..PruneOptions::new(text::now()) };
        Self { repository, options, is_only_one: false }
    }

    /// Drops snapshots that are in the trash for so long, instead of seven days.
    pub fn trash_window(mut self, window: Duration) -> Self {
        self.options.trash_window_s = i64::try_from(window.as_secs()).unwrap_or(i64::MAX);
        self
    }

    /// Tolerates so much unused space in packs, in 1/1000 of the used, instead of 50.
    pub fn max_unused_permille(mut self, permille: u32) -> Self {
        self.options.max_unused_permille = permille;
        self
    }

    /// Stores at most so many bytes of packs again.
    pub fn max_repack(mut self, bytes: u64) -> Self {
        self.options.max_repack_bytes = bytes;
        self
    }

    /// Promises that no other prune of this repository is running: needed where the store replaces
    /// objects, as some S3 servers do.
    pub fn only_one(mut self) -> Self {
        self.is_only_one = true;
        self
    }

    /// Says what a prune would do, and changes nothing.
    pub fn plan(&self, progress: &dyn Progress) -> Result<PrunePlan> {
        let plan =
            self.carry_out(PruneOptions { dry_run: true, ..self.options }, progress)?.remaining;
        Ok(PrunePlan {
            dropped_snapshots: in_hex(&plan.dropped),
            unused_packs: plan.dead.len() as u64,
            unused_pack_bytes: plan.dead_bytes,
            repacked_packs: plan.repack.len() as u64,
            repacked_bytes: plan.repack_bytes,
            left_unused_bytes: plan.left_unused_bytes,
        })
    }

    /// Removes what nothing needs. Backups may run meanwhile.
    ///
    /// If it dies at any point, nothing that a snapshot needs is lost, and the next prune goes on.
    pub fn run(self, progress: &dyn Progress) -> Result<PruneReport> {
        let repository = &self.repository.inner;
        let exclusion = match reserve::with_room(repository, || probe::is_exclusive(repository))? {
            true => Exclusion::Store,
            false if self.is_only_one => Exclusion::User,
            false => {
                let why = "this store replaces objects: say that no other prune is running";
                return Err(Error::new(ErrorKind::InvalidInput, why));
            }
        };
        let report = self.carry_out(PruneOptions { exclusion, ..self.options }, progress)?;
        Ok(PruneReport {
            dropped_snapshots: in_hex(&report.dropped),
            removed_packs: report.removed_packs,
            removed_bytes: report.removed_bytes,
            freed_bytes: report.freed_bytes(),
        })
    }

    fn carry_out(
        &self,
        options: PruneOptions,
        progress: &dyn Progress,
    ) -> Result<prune::PruneReport> {
        let monitor = Monitor::default();
        watched(progress, &monitor, || Ok(prune::run(&self.repository.inner, &options, &monitor)?))
    }
}

fn in_hex(ids: &[SnapshotId]) -> Vec<String> {
    ids.iter().map(SnapshotId::to_hex).collect()
}
