//! Heals what can be healed, and says what cannot.
//!
//! # How
//!
//! The index is a shortcut: all of it follows from the packs. So what a damaged or missing run
//! named is read from the packs again; what can still be read of a damaged pack (from the store, or
//! from this machine's local copy) is stored again in a new one; and a run that names what is lost
//! is replaced by one that does not. From then on nothing lost is taken for stored: the next backup
//! that meets it stores it again, under the same id, and every snapshot that lacked it is whole.
//!
//! # Never worse
//!
//! Repair only adds objects (a snapshot that is replaced gets a tombstone, and can be brought
//! back): new packs, then runs that name them, then an intent that protects them, and only then the
//! runs that replace others. Whatever dies in between leaves the repository as it was, with copies
//! of a part of it. It needs no quiet: backups and collectors may run meanwhile.
//!
//! # Everywhere
//!
//! Other machines have copies of the index, and snapshots that they take for whole. A generation
//! that is open meanwhile and cancelled in the end tells them to look again: see
//! [`crate::repo::gc::loss`].

mod apply;
mod doomed;
mod index;
mod leave_out;
mod plan;
mod replace;
mod unread;

use std::sync::Arc;

use crate::format::entry::Timestamp;
use crate::format::generation::Victim;
use crate::format::run::PackRef;
use crate::format::snapshot::Snapshot;
use crate::id::{ObjectId, SnapshotId};
use crate::maintain::check::{CheckReport, Damage, Level};
use crate::repo::Repository;
use crate::repo::audit::drafts::Drafting;
use crate::repo::audit::rebuild;

pub use self::apply::RepairOutcome;
pub use self::plan::plan;

/// What to repair, and how thoroughly to look first.
#[derive(Clone, Debug)]
pub struct RepairOptions {
    /// How thoroughly; at least [`Level::Structure`] is looked at. Damage to file content is found
    /// by [`Level::Full`] only.
    pub level: Level,
    /// Threads that open and verify (at least 1).
    pub threads: usize,
    /// The time now.
    pub now: Timestamp,
    /// Name of this host, for the intent that protects new packs.
    pub host: String,
    /// Name of the user, for tombstones.
    pub user: String,
    /// Program and version, for new snapshots and tombstones.
    pub program: String,
    /// Tells the time.
    pub clock: fn() -> Timestamp,
    /// Whether snapshots that lack something are replaced by new ones without it.
    pub snapshots: bool,
}

/// A snapshot that is to be replaced.
#[derive(Clone, Debug)]
pub struct Broken {
    /// What it says; from the local copy, if the store has it no more.
    pub snapshot: Snapshot,
    /// Whether its slot is damaged or gone, so that the new one may lack nothing.
    pub is_slot_lost: bool,
}

/// A snapshot that was put into the trash, and the one that stands for it now.
#[derive(Clone, Copy, Debug)]
pub struct Replaced {
    /// The one in the trash.
    pub old: SnapshotId,
    /// The new one; `None` if nothing of the old one could be read.
    pub new: Option<SnapshotId>,
    /// How many files are left out, and folders of which entries are.
    pub left_out: u64,
}

/// A run that is to be stored.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its name.
    pub name: ObjectId,
    /// The runs that it replaces.
    pub replaces: Vec<ObjectId>,
    /// Packs that it names.
    pub packs: u64,
    /// Chunks that it names.
    pub chunks: u64,
    /// Records of the replaced run that it leaves out: they are in other runs now, or lost.
    pub left_out: u64,
}

/// A pack that is to be stored, with what can be read of a damaged one, or of one that must stay
/// and will not.
#[derive(Clone, Debug)]
pub struct NewPack {
    /// The new pack.
    pub pack: PackRef,
    /// The one that it stands for.
    pub instead_of: PackRef,
    /// The generation that removes that one when it is carried out; `None` if it is damaged, or
    /// none that is open does.
    pub doomed_by: Option<u64>,
    /// Chunks in it.
    pub chunks: u64,
}

/// What was found and what can be done about it. Nothing is stored before it is applied.
pub struct RepairPlan {
    repository: Arc<Repository>,
    options: RepairOptions,
    /// What a check finds now.
    pub found: CheckReport,
    /// Packs to be stored.
    pub packs: Vec<NewPack>,
    /// Runs to be stored that name packs again.
    pub added: Vec<NewRun>,
    /// Runs to be stored that leave out what is lost or stored again.
    pub rewritten: Vec<NewRun>,
    /// What a check of trees and files will find afterwards: what is lost.
    pub preview: CheckReport,
    /// Problems that no repair can heal, as `found` words them.
    pub beyond: Vec<String>,
    /// Snapshots that are replaced by new ones, oldest first; none unless that is wanted.
    pub broken: Vec<Broken>,
    /// Whether there are snapshots that could be replaced, wanted or not: that lack something and
    /// are not in the trash.
    pub is_any_broken: bool,
    /// Which nodes are known to be wrong although the index names them.
    lost: Damage,
    /// Packs that no run names any more afterwards.
    left_out: Vec<Victim>,
    /// Keeps the drafts of `packs` and of runs from being taken for leftovers.
    _drafting: Drafting,
}

impl RepairPlan {
    /// Returns whether there is nothing to be stored.
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty()
            && self.added.is_empty()
            && self.rewritten.is_empty()
            && self.broken.is_empty()
    }

    /// Returns whether anything is lost, or taken out of the index, of which other machines may
    /// believe that it is there.
    fn is_lossy(&self) -> bool {
        !self.left_out.is_empty() || !self.preview.incomplete.is_empty()
    }

    /// Returns the snapshots that lack something even afterwards.
    pub fn incomplete(&self) -> Vec<SnapshotId> {
        self.preview.incomplete.iter().copied().collect()
    }
}

impl Drop for RepairPlan {
    fn drop(&mut self) {
        let packs: Vec<PackRef> = self.packs.iter().map(|pack| pack.pack).collect();
        let runs: Vec<ObjectId> =
            self.added.iter().chain(&self.rewritten).map(|run| run.name).collect();
        rebuild::forget(&self.repository, &packs, &runs);
    }
}
