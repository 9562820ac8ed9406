//! Hostile, lying, damaged and odd surroundings: stores, disks, keys in wrong hands.

pub mod bad_sectors;
pub mod bounded_memory;
pub mod damage;
pub mod forged_runs;
pub mod hidden_protected;
pub mod hostile_trees;
pub mod listed_not_given;
#[cfg(feature = "mount")]
pub mod lying_disks;
pub mod lying_lists;
pub mod odd_file_systems;
#[cfg(feature = "mount")]
pub mod plain_disks;
pub mod replacing_stores;
pub mod replayed;
pub mod rollbacks_and_copies;
pub mod trust;
