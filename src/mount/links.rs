//! How many names the hard-linked files of a snapshot have.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::browse::Walk;
use crate::format::snapshot::Snapshot;
use crate::id::SnapshotId;
use crate::repo::Trees;

/// Most entries of a snapshot whose links are counted; finding them all takes reading every folder.
const ENTRIES_MAX: u64 = 500_000;
/// Snapshots whose counts are kept.
const SNAPSHOTS_MAX: usize = 8;
/// What is said of a file that has several names, when they are not counted: programs only look whether it is more than one.
const SEVERAL: u32 = 2;

type Counts = Arc<HashMap<u64, u32>>;

/// Counts the links of a snapshot when the first of them is looked at.
#[derive(Default)]
pub struct Links {
    counted: Mutex<HashMap<SnapshotId, Arc<Mutex<Option<Counts>>>>>,
}

impl Links {
    /// Returns how many names a group of links has in its snapshot.
    pub fn count(&self, trees: &Trees, snapshot: &Snapshot, group: u64) -> u32 {
        let totals = snapshot.stats.totals;
        if totals.files.saturating_add(totals.dirs) > ENTRIES_MAX {
            return SEVERAL;
        }
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() >= SNAPSHOTS_MAX && !counted.contains_key(&snapshot.id) {
            counted.clear();
        }
        let slot = counted.entry(snapshot.id).or_default().clone();
        drop(counted);
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = slot.get_or_insert_with(|| Arc::new(count_all(trees, snapshot)));
        counts.get(&group).copied().unwrap_or(SEVERAL)
    }
}

/// What cannot be read is left out: then a count is too small, and nothing else is wrong.
fn count_all(trees: &Trees, snapshot: &Snapshot) -> HashMap<u64, u32> {
    let mut counts = HashMap::new();
    for (_, found) in Walk::new(trees, &snapshot.root, b"", true) {
        if let Some(group) = found.ok().and_then(|found| found.entry.hard_link) {
            *counts.entry(group).or_insert(0) += 1;
        }
    }
    counts
}
