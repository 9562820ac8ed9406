//! A retention policy.

use super::decay::Decay;
use super::decision::Period;

/// A retention policy. An empty one keeps only the newest snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Keeps this many of the newest.
    pub last: Option<u32>,
    /// Keeps the newest of each of the last so many hours, days, weeks, months and years that have
    /// snapshots.
    pub periods: [Option<u32>; Period::ALL.len()],
    /// Keeps all that are at most this many seconds older than the newest.
    pub within_s: Option<i64>,
    /// Keeps all with one of these tags.
    pub tags: Vec<String>,
    /// Thins out smoothly with age.
    pub decay: Option<Decay>,
}

impl Policy {
    /// Returns whether it has no rule.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
