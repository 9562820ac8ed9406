//! Link counts of hard-linked files.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::browse::TreeWalk;
use crate::format::snapshot::Snapshot;
use crate::id::{ChunkId, SnapshotId};
use crate::repo::Trees;
use crate::sync::lock;

/// Most entries, and most nodes of directories, that are read to count the links of a snapshot,
/// because a lookup waits meanwhile.
///
/// The totals in the snapshot cannot serve as a limit: they may be wrong, and a small repository
/// can hold an endless tree.
const ENTRIES_MAX: u64 = 500_000;
const NODES_MAX: u64 = 100_000;
/// Snapshots whose counts are kept, and groups in all of them.
const SNAPSHOTS_MAX: usize = 8;
const GROUPS_MAX: usize = 500_000;
/// Link count of hard links that were not counted: programs only check whether it is more than one.
const SEVERAL: u32 = 2;

type LinkCounts = Arc<HashMap<u64, u32>>;

/// Link counts, computed per snapshot when the first of its links is looked up.
#[derive(Default)]
pub(super) struct Links {
    counted: Mutex<HashMap<SnapshotId, Arc<Mutex<Option<LinkCounts>>>>>,
}

impl Links {
    /// Returns the number of names of a hard-link group in its snapshot.
    pub(super) fn count(&self, trees: &Trees, snapshot: &Snapshot, group: u64) -> u32 {
        let mut counted = lock(&self.counted);
        if !counted.contains_key(&snapshot.id)
            && (counted.len() >= SNAPSHOTS_MAX || groups_in(&counted) >= GROUPS_MAX)
        {
            counted.clear();
        }
        let slot = counted.entry(snapshot.id).or_default().clone();
        drop(counted);
        let mut slot = lock(&slot);
        let counts = slot
            .get_or_insert_with(|| Arc::new(count_all(trees, &snapshot.root).unwrap_or_default()));
        counts.get(&group).copied().unwrap_or(SEVERAL)
    }
}

/// Returns the number of cached groups, except those that are being counted.
fn groups_in(counted: &HashMap<SnapshotId, Arc<Mutex<Option<LinkCounts>>>>) -> usize {
    counted.values().filter_map(|slot| Some(slot.try_lock().ok()?.as_ref()?.len())).sum()
}

/// Counts the names of all groups; `None` if that takes too long.
///
/// Unreadable directories are left out, which only makes counts too small.
fn count_all(trees: &Trees, root: &ChunkId) -> Option<HashMap<u64, u32>> {
    // A separate reader, whose `nodes_read` starts at zero.
    let trees = Trees::new(trees.reader().clone());
    let (mut counts, mut entries) = (HashMap::new(), 0);
    let mut walk = TreeWalk::new(&trees, root, b"", true);
    while let Some(found) = walk.next_entry() {
        entries += 1;
        if entries > ENTRIES_MAX || trees.nodes_read() > NODES_MAX {
            return None;
        }
        if let Some(group) = found.ok().and_then(|found| found.entry.hard_link) {
            *counts.entry(group).or_insert(0) += 1;
        }
    }
    Some(counts)
}
