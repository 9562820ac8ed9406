//! A retention policy.

use super::decay::Decay;
use super::rules::Period;

/// A retention policy. Nothing at all keeps the newest snapshot only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The newest so many.
    pub last: Option<u32>,
    /// The newest of each of the last so many hours, days, weeks, months and years in which there
    /// are snapshots.
    pub periods: [Option<u32>; Period::ALL.len()],
    /// All that are at most so many seconds older than the newest.
    pub within_s: Option<i64>,
    /// All with one of these tags.
    pub tags: Vec<String>,
    /// Thinned out smoothly with age.
    pub decay: Option<Decay>,
}

impl Policy {
    /// Returns whether it has no rule.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
