//! Memory of the policies that this machine applied to each series, so that it notices a new one.

use super::Witness;
use super::file::{POLICIES_MAX, PolicyNote};
use crate::sync::lock;

impl Witness {
    /// Returns the note about a series.
    pub fn policy_note(&self, series: &str) -> Option<PolicyNote> {
        let memory = lock(&self.memory);
        memory.copies.last()?.policies.iter().find(|noted| noted.series == series).cloned()
    }

    /// Remembers the last policy of each series; drops the oldest notes above the limit.
    pub fn note_policies(&self, notes: Vec<PolicyNote>) {
        self.change(|memory| {
            let Some(copy) = memory.copies.last_mut() else {
                return;
            };
            copy.policies.retain(|noted| notes.iter().all(|new| new.series != noted.series));
            copy.policies.extend(notes);
            let surplus = copy.policies.len().saturating_sub(POLICIES_MAX);
            copy.policies.drain(..surplus);
        });
    }
}
