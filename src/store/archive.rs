//! What only some stores have: classes that must be thawed before they can be read, and locks against removal.

use super::{Key, StoreError};

/// How quickly an object is thawed; quicker is dearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThawTier {
    /// Within minutes; not from every class.
    Expedited,
    /// Within hours.
    Standard,
    /// Within half a day or two days, the cheapest.
    Bulk,
}

/// Whether an object can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It can be read, now.
    Ready,
    /// It is in this archive class, and must be thawed first.
    Frozen(String),
    /// It is being thawed.
    Thawing,
}

/// Objects that are not at hand, and objects that nobody may remove.
pub trait Archive: Send + Sync {
    /// Returns whether an object can be read.
    fn readiness(&self, key: &Key) -> Result<Readiness, StoreError>;

    /// Orders an object of an archive class to be readable for some days; succeeds too if that is already being done.
    fn thaw(&self, key: &Key, days: u32, tier: ThawTier) -> Result<(), StoreError>;

    /// Returns for how many days new objects are locked; `None` if they are not.
    fn lock_days(&self) -> Option<u32>;

    /// Locks an object against removal for as long from now on as new objects are; a lock never becomes shorter.
    fn extend_lock(&self, key: &Key) -> Result<(), StoreError>;
}
