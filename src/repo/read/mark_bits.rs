//! Marks of reached chunks, one bit for each record of the index, and notes of what was stated
//! about them.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// One bit per record of the index.
pub struct MarkBits(Vec<AtomicU64>);

impl MarkBits {
    /// Makes `count` bits, all clear.
    pub fn new(count: u64) -> Self {
        Self((0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Sets a bit and returns whether it was clear; bits beyond the last word are always clear.
    pub fn set(&self, number: u64) -> bool {
        let bit = 1 << (number % 64);
        self.0
            .get((number / 64) as usize)
            .is_none_or(|word| word.fetch_or(bit, Ordering::Relaxed) & bit == 0)
    }

    /// Returns whether a bit is set.
    pub fn is_set(&self, number: u64) -> bool {
        self.0
            .get((number / 64) as usize)
            .is_some_and(|word| word.load(Ordering::Relaxed) & 1 << (number % 64) != 0)
    }
}

/// Hashes of the first statement about the chunk of each record: of a node, what the node above
/// states; of file content, its length.
///
/// They take four bytes for each record of a window of 16 million records. The window begins at a
/// random record, so that repeated runs cover a larger repository.
pub struct Notes {
    slots: Vec<AtomicU32>,
    start: u64,
    records: u64,
    hashes: RandomState,
}

/// Most slots: 64 MiB.
const NOTES_MAX: u64 = 16 << 20;

impl Notes {
    /// Makes room for statements about `records` records, or about a window of them.
    pub fn new(records: u64) -> Self {
        let hashes = RandomState::new();
        let start = hashes.hash_one(records) % records.max(1);
        Self {
            slots: (0..records.min(NOTES_MAX)).map(|_| AtomicU32::new(0)).collect(),
            start,
            records,
            hashes,
        }
    }

    /// Notes the first statement about a chunk, and compares later ones with it.
    pub fn note(&self, number: u64, statement: impl Hash) -> Statement {
        let Some(slot) = self.slot(number) else {
            return Statement::Unknown;
        };
        // 0 means that nothing was stated.
        let hash = (self.hashes.hash_one(statement) as u32).max(1);
        match slot.compare_exchange(0, hash, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Statement::First,
            Err(before) if before == hash => Statement::Same,
            Err(_) => Statement::Different,
        }
    }

    /// Notes the length of the chunk of a record.
    pub fn note_len(&self, number: u64, len_bytes: u32) {
        self.note(number, len_bytes);
    }

    /// Returns whether another length was noted for the chunk of a record.
    pub fn has_other_len(&self, number: u64, len_bytes: u32) -> bool {
        let noted = self.slot(number).map_or(0, |slot| slot.load(Ordering::Relaxed));
        noted != 0 && noted != (self.hashes.hash_one(len_bytes) as u32).max(1)
    }

    fn slot(&self, number: u64) -> Option<&AtomicU32> {
        let at = (number + self.records - self.start) % self.records.max(1);
        self.slots.get(usize::try_from(at).ok()?)
    }
}

/// Result of the comparison of a statement about a chunk with the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statement {
    First,
    Same,
    Different,
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mark_is_set_once() {
        let marks = MarkBits::new(130);
        for number in [0, 63, 64, 129] {
            assert!(!marks.is_set(number) && marks.set(number), "{number}");
            assert!(marks.is_set(number) && !marks.set(number), "{number}");
        }
        assert!(!marks.is_set(1) && !marks.is_set(65));
        // Beyond the last word nothing is remembered.
        assert!(marks.set(192) && marks.set(192) && !marks.is_set(192));
    }

    #[test]
    fn another_statement_about_a_chunk_is_noticed() {
        let notes = Notes::new(3);
        assert_eq!(notes.note(0, "file"), Statement::First);
        assert_eq!(
            (notes.note(0, "file"), notes.note(0, "dir")),
            (Statement::Same, Statement::Different)
        );
        notes.note_len(2, 17);
        assert!(!notes.has_other_len(2, 17) && notes.has_other_len(2, 18));
        assert!(!notes.has_other_len(1, 5), "nothing was noted");
        assert_eq!(Notes::new(0).note(0, "anything"), Statement::Unknown);
    }
}
