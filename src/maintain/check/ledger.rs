//! Ledger of verified data packs, so that repeated samples cover all of them in time.
//!
//! It is local state: losing it costs only repeated reads. It contains only sound packs.

use std::collections::HashMap;

use super::report::Coverage;
use crate::format::entry::Timestamp;
use crate::id::ObjectId;
use crate::repo::open::notes;
use crate::repo::{Repository, Result};

const NAME: &str = "check ledger";
const RECORD_LEN_BYTES: usize = 40;

/// When each pack was last verified, in seconds since 1970.
#[derive(Default)]
pub(super) struct Ledger(HashMap<ObjectId, i64>);

impl Ledger {
    /// Loads this machine's ledger; empty if there is none that can be trusted.
    pub(super) fn load(repository: &Repository) -> Self {
        let bytes = notes::load(repository, NAME).unwrap_or_default();
        let parse = |record: &[u8]| {
            let (id, seconds) = record.split_at(32);
            let seconds = i64::from_le_bytes(seconds.try_into().expect("8 bytes"));
            (ObjectId(id.try_into().expect("32 bytes")), seconds)
        };
        Self(bytes.chunks_exact(RECORD_LEN_BYTES).map(parse).collect())
    }

    /// Notes a pack as verified now.
    pub(super) fn note(&mut self, pack: ObjectId, now: Timestamp) {
        self.0.insert(pack, now.seconds);
    }

    /// Forgets a pack, so that it is read again.
    pub(super) fn forget(&mut self, pack: &ObjectId) {
        self.0.remove(pack);
    }

    /// Returns when a pack was verified.
    pub(super) fn verified(&self, pack: &ObjectId) -> Option<i64> {
        self.0.get(pack).copied()
    }

    /// Saves the records of the packs that exist.
    pub(super) fn save(
        &mut self,
        repository: &Repository,
        packs: &HashMap<ObjectId, u64>,
    ) -> Result<()> {
        self.0.retain(|pack, _| packs.contains_key(pack));
        let mut records: Vec<_> = self.0.iter().collect();
        records.sort();
        let mut bytes = Vec::with_capacity(records.len() * RECORD_LEN_BYTES);
        for (pack, seconds) in records {
            bytes.extend_from_slice(&pack.0);
            bytes.extend_from_slice(&seconds.to_le_bytes());
        }
        notes::save(repository, NAME, &bytes)
    }

    /// Returns how much of these packs was verified, and how long ago.
    pub(super) fn coverage(&self, packs: &HashMap<ObjectId, u64>) -> Coverage {
        let covered = packs.iter().filter(|(pack, _)| self.0.contains_key(pack));
        // `None` is the minimum: one pack that was never verified makes the result `None`.
        let oldest = packs.keys().map(|pack| self.0.get(pack)).min().flatten();
        Coverage {
            bytes_ever: covered.map(|(_, len)| len).sum(),
            bytes: packs.values().sum(),
            oldest: oldest.map(|seconds| Timestamp { seconds: *seconds, nanos: 0 }),
        }
    }
}
