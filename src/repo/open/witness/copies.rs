//! Copies of a repository that are used at one place in turn.
//!
//! Copies of a repository develop separately, so the memory of one says nothing about another.
//!
//! Spec: `format-spec/10-keys.md`, section 5.

use super::Witness;
use super::file::{COPIES_MAX, CopyMemory};
use crate::sync::lock;

impl Witness {
    /// Returns the number of the copy in use.
    pub fn copy(&self) -> u32 {
        lock(&self.memory).copies.last().map_or(0, |copy| copy.number)
    }

    /// Returns the numbers of the remembered copies, those with the highest sequence numbers first.
    pub fn copies(&self) -> Vec<u32> {
        let mut copies = lock(&self.memory).copies.clone();
        let progress = |copy: &CopyMemory| {
            copy.heads.iter().fold(0u64, |sum, head| sum.saturating_add(head.sequence))
        };
        copies.sort_by_key(|copy| std::cmp::Reverse(progress(copy)));
        copies.iter().map(|copy| copy.number).collect()
    }

    /// Sets the copy in use.
    pub fn use_copy(&self, number: u32) {
        self.change(|memory| {
            if let Some(at) = memory.copies.iter().position(|copy| copy.number == number) {
                let copy = memory.copies.remove(at);
                memory.copies.push(copy);
            }
        });
    }

    /// Remembers one more copy, about which nothing is known yet, and returns its number.
    pub fn add_copy(&self) -> u32 {
        self.change(|memory| {
            let number = memory.copies.iter().map(|copy| copy.number + 1).max().unwrap_or(0);
            memory.copies.push(CopyMemory { number, ..CopyMemory::default() });
            let surplus = memory.copies.len().saturating_sub(COPIES_MAX);
            memory.copies.drain(..surplus);
            number
        })
    }
}
