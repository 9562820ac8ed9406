//! State that all threads of one backup share: of the sources, and of one repository.
//!
//! They are two so that one reading of the sources can feed several repositories. References, ids
//! and hard-link groups are keyed: they mean something in their repository only.

use std::sync::atomic::{AtomicU64, Ordering};

use super::devices::Devices;
use super::doubts::Doubts;
use super::excludes::Excludes;
use super::fingerprints::KnownDirectories;
use super::gone::Listings;
use super::hard_links::HardLinks;
use super::losses::Losses;
use super::source_root::SourceRoot;
use super::timestamps::is_settled;
use crate::format::entry::Timestamp;
use crate::id::{ChunkId, SnapshotId};
use crate::monitor::Monitor;
use crate::os::owners::OwnerNames;
use crate::os::stat::Stat;
use crate::repo::{Session, Trees};

/// State of the sources.
pub(super) struct SourceContext<'a> {
    /// The directory below which they are.
    pub root: SourceRoot,
    /// Rules that leave names out.
    pub excludes: Excludes,
    /// Names of users and groups, by number.
    pub owners: OwnerNames,
    /// Labels of devices that do not change from backup to backup.
    pub devices: Devices,
    /// Counters and problems.
    pub monitor: &'a Monitor,
    /// When the backup began.
    pub started: Timestamp,
    /// File counts of each source.
    pub losses: Losses,
    /// Whether empty streams and sources that lost their files are accepted.
    pub allows_empty: bool,
    /// Budget for listing names again.
    pub listings: Listings,
}

/// State of one repository that the backup goes to.
pub(super) struct TargetContext<'a> {
    /// Stores chunks.
    pub session: &'a Session,
    /// The parent's trees; `None` without a parent, or if this host may not read it.
    pub parent: Option<ParentTrees>,
    /// Content of hard-linked files that were read.
    pub links: HardLinks,
    /// Fingerprints of the parent's and the new snapshot's directories.
    pub directories: KnownDirectories,
    /// How files compare with the parent's.
    pub counts: FileCounts,
}

/// The parent's trees, and how far they can be trusted.
pub(super) struct ParentTrees {
    /// The parent.
    pub snapshot: SnapshotId,
    /// Its root directory.
    pub root: ChunkId,
    /// Reads them.
    pub trees: Trees,
    /// Earlier change times prove that the parent saw the last change.
    pub trust_before: Timestamp,
    /// Paths that the parent may not hold completely.
    pub doubts: Doubts,
}

/// The sources and one target, for functions that need both.
#[derive(Clone, Copy)]
pub(super) struct Contexts<'a> {
    /// The sources.
    pub source: &'a SourceContext<'a>,
    /// The target.
    pub target: &'a TargetContext<'a>,
}

impl TargetContext<'_> {
    /// Returns whether the parent's entry of `path` itself may be incomplete.
    pub(super) fn has_doubts_on(&self, path: &[u8]) -> bool {
        self.parent.as_ref().is_some_and(|parent| parent.doubts.is_on(path))
    }

    /// Returns whether the parent's entry of a name in the directory at `path` may be incomplete.
    pub(super) fn has_doubts_in(&self, path: &[u8]) -> bool {
        self.parent.as_ref().is_some_and(|parent| parent.doubts.is_in(path))
    }
}

impl ParentTrees {
    /// Returns whether the change time proves that the parent saw the last change.
    ///
    /// `is_trusted` says whether the file system is.
    pub(super) fn is_settled(&self, stat: &Stat, is_trusted: bool) -> bool {
        is_settled(stat.ctime, self.trust_before, is_trusted)
    }
}

/// Numbers of files by how they compare with the parent's.
#[derive(Default)]
pub(super) struct FileCounts {
    /// Not in the parent.
    pub new: AtomicU64,
    /// Different from the parent's.
    pub changed: AtomicU64,
    /// Equal to the parent's.
    pub unchanged: AtomicU64,
    /// Bytes of content that were read.
    pub bytes_read: AtomicU64,
}

impl FileCounts {
    /// Adds to a counter.
    pub(super) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}
