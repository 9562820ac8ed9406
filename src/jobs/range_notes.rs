//! Notes of Subversion's finished ranges, and of the snapshot that holds them.
//!
//! A range whose fingerprint is the same need not be dumped again, if the parent of the backup is
//! the very snapshot that the notes are of. So notes are written only when that was committed; if
//! they are lost, stale or of another repository, ranges are dumped.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::state::AppState;
use crate::backup::KnownFile;
use crate::id::SnapshotId;
use crate::sources::subversion::{KnownRange, PlannedRange, RangeNotes};

/// Key of the notes in the state of an app: the folder of all ranges.
const KEY: &str = "/@app/subversion";

/// Ranges that a snapshot holds.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct HeldRanges {
    /// The snapshot, in hex.
    snapshot: String,
    /// Its ranges.
    ranges: Vec<KnownRange>,
}

impl HeldRanges {
    /// Reads the notes; none if there are none, or if another version wrote them.
    pub(super) fn load(state: Option<&AppState>) -> Self {
        let note = state.and_then(|state| state.notes.get(KEY));
        note.and_then(|note| Self::deserialize(note).ok()).unwrap_or_default()
    }

    /// Returns the ranges, for the plan.
    pub(super) fn ranges(&self) -> Vec<KnownRange> {
        self.ranges.clone()
    }

    /// Tells the backup which of the planned ranges it need not dump.
    pub(super) fn mark(&self, planned: &mut [PlannedRange]) {
        let Some(snapshot) = SnapshotId::from_hex(&self.snapshot) else { return };
        let of_range = |range: &KnownRange| (range.path.as_bytes().to_vec(), range.record.bytes);
        let lengths: BTreeMap<Vec<u8>, u64> = self.ranges.iter().map(of_range).collect();
        for range in planned.iter_mut().filter(|range| range.is_unchanged) {
            let len_bytes = lengths.get(&range.source.path).copied();
            range.source.known = len_bytes.map(|len_bytes| KnownFile { snapshot, len_bytes });
        }
    }
}

/// Writes down what a snapshot holds, in hex, in place of all earlier notes.
pub(super) fn save(state: &mut AppState, snapshot: &str, notes: &[RangeNotes]) {
    let ranges: Vec<KnownRange> = notes.iter().flat_map(RangeNotes::known).collect();
    if ranges.is_empty() {
        state.notes.remove(KEY);
        return;
    }
    let held = HeldRanges { snapshot: snapshot.to_owned(), ranges };
    let note = serde_json::to_value(held).expect("notes have string keys only");
    state.notes.insert(KEY.to_owned(), note);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::manifest::FileRecord;

    #[test]
    fn notes_of_another_version_are_none() {
        let mut state = AppState::default();
        let record =
            FileRecord { path: "00000000.dump".to_owned(), bytes: 7, ..Default::default() };
        let path = format!("{KEY}/code/00000000.dump");
        let range = KnownRange { path, fingerprint: "f".to_owned(), record };
        let held = HeldRanges { snapshot: "ab".repeat(16), ranges: vec![range.clone()] };
        state.notes.insert(KEY.to_owned(), serde_json::to_value(held).unwrap());
        assert_eq!(HeldRanges::load(Some(&state)).ranges(), [range]);
        for strange in [serde_json::json!(7), serde_json::json!({"snapshot": 7, "ranges": []})] {
            state.notes.insert(KEY.to_owned(), strange);
            assert!(HeldRanges::load(Some(&state)).ranges().is_empty());
        }
        assert!(HeldRanges::load(None).ranges().is_empty());
        save(&mut state, "", &[]);
        assert!(state.notes.is_empty());
    }
}
