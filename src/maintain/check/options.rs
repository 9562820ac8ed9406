//! Options of a check.

use super::level::Level;
use crate::format::entry::Timestamp;

/// Options of a check.
#[derive(Clone, Copy, Debug)]
pub struct CheckOptions {
    /// The level.
    pub level: Level,
    /// Threads that open and verify (at least 1).
    pub threads: usize,
    /// The time now, for the notes of what was verified when.
    pub now: Timestamp,
}
