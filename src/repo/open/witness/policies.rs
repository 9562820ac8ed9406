//! Which policies this machine applied to the series of a repository, so that it knows whether one
//! is new to them.

use super::Witness;
use super::file::{POLICIES_MAX, PolicyNote};
use crate::sync::lock;

impl Witness {
    /// Returns what is remembered of a series.
    pub fn policy_note(&self, series: &str) -> Option<PolicyNote> {
        let memory = lock(&self.memory);
        memory.copies.last()?.policies.iter().find(|noted| noted.series == series).cloned()
    }

    /// Remembers of each series the policy that was applied last; what was noted longest ago makes
    /// room.
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
