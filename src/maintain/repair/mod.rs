//! Repair of a repository: rebuilds index and packs from what can be read, and reports what is
//! lost.
//!
//! # How
//!
//! The index can be derived from the packs. So the content of a damaged or missing index run is
//! read from the packs again; readable chunks of a damaged pack (from the store, or from this
//! machine's local copy) are stored again in a new one; and a run that names lost chunks is
//! replaced by one that does not. From then on no lost chunk counts as stored: the next backup that
//! finds it in a source stores it again under the same id, and every snapshot that lacked it is
//! complete.
//!
//! # Never worse
//!
//! Repair only adds objects: new packs, then runs that name them, then an intent that protects
//! them, and only then the runs that replace others. (A replaced snapshot gets a tombstone, and can
//! be undeleted.) A repair that dies in between leaves the repository as it was, with copies of
//! some chunks. Backups and prunes may run meanwhile.
//!
//! # Everywhere
//!
//! Other machines have copies of the index, and may take an incomplete snapshot for complete. A
//! generation that is open during the repair and then cancelled tells them to look again: see
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
use crate::repo::audit::salvage;

pub use self::apply::RepairOutcome;
pub use self::plan::plan;

/// Options of a repair.
#[derive(Clone, Debug)]
pub struct RepairOptions {
    /// Level of the examination, at least [`Level::Structure`]. Only [`Level::Full`] finds damage
    /// to file content.
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
    /// Returns the present time.
    pub clock: fn() -> Timestamp,
    /// Whether incomplete snapshots are replaced by new ones that leave out what is lost.
    pub snapshots: bool,
}

/// A snapshot that is to be replaced.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The snapshot; from the local copy if the store has lost it.
    pub snapshot: Snapshot,
    /// Whether its slot is damaged or missing, so that it is replaced even if its tree is complete.
    pub is_slot_lost: bool,
}

/// A snapshot that was moved to the trash, and its replacement.
#[derive(Clone, Copy, Debug)]
pub struct Replaced {
    /// The old snapshot, in the trash.
    pub old: SnapshotId,
    /// The new snapshot; `None` if nothing of the old one could be read.
    pub new: Option<SnapshotId>,
    /// Number of files, and of directories with entries, that are left out.
    pub left_out: u64,
}

/// An index run to be stored.
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
    /// Records of the replaced run that it leaves out: their chunks are in other runs, or lost.
    pub left_out: u64,
}

/// A pack to be stored, with the readable chunks of a damaged pack, or of a needed one that a
/// verdict removes.
#[derive(Clone, Debug)]
pub struct NewPack {
    /// The new pack.
    pub pack: PackRef,
    /// The pack that it replaces.
    pub instead_of: PackRef,
    /// The generation whose verdict removes the replaced pack; `None` if there is none.
    pub doomed_by: Option<u64>,
    /// Chunks in it.
    pub chunks: u64,
}

/// Plan of a repair: what was found, and the drafts of new objects. Nothing is stored before it is
/// applied.
pub struct RepairPlan {
    repository: Arc<Repository>,
    options: RepairOptions,
    /// The report of the examination.
    pub found: CheckReport,
    /// Packs to be stored.
    pub packs: Vec<NewPack>,
    /// Runs to be stored that index packs again.
    pub added: Vec<NewRun>,
    /// Runs to be stored that replace others, without chunks that are lost or stored again.
    pub rewritten: Vec<NewRun>,
    /// Preview of a check of trees and files after the repair: what is lost.
    pub preview: CheckReport,
    /// Problems that cannot be repaired, with the messages of `found`.
    pub beyond: Vec<String>,
    /// Snapshots to be replaced, oldest first; empty unless the options say so.
    pub broken: Vec<Broken>,
    /// Whether there are incomplete snapshots outside the trash, even if the options do not replace
    /// them.
    pub is_any_broken: bool,
    /// Nodes that are known to be damaged although the index names them.
    lost: Damage,
    /// Packs that no run will name any more.
    left_out: Vec<Victim>,
    /// Protects the drafts of packs and runs from being removed as leftovers.
    _drafting: Drafting,
}

impl RepairPlan {
    /// Returns whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty()
            && self.added.is_empty()
            && self.rewritten.is_empty()
            && self.broken.is_empty()
    }

    /// Returns whether chunks are lost, or removed from the index, that other machines may rely on.
    fn is_lossy(&self) -> bool {
        !self.left_out.is_empty() || !self.preview.incomplete.is_empty()
    }

    /// Returns the snapshots that will be incomplete after the repair.
    pub fn incomplete(&self) -> Vec<SnapshotId> {
        self.preview.incomplete.iter().copied().collect()
    }
}

impl Drop for RepairPlan {
    fn drop(&mut self) {
        let packs: Vec<PackRef> = self.packs.iter().map(|pack| pack.pack).collect();
        let runs: Vec<ObjectId> =
            self.added.iter().chain(&self.rewritten).map(|run| run.name).collect();
        salvage::forget(&self.repository, &packs, &runs);
    }
}
