//! Hostile, lying, damaged and odd surroundings: stores, disks, keys in wrong hands.

pub mod bad_sectors; // objects that cannot be read
pub mod bounded_memory; // deep, forged and huge structures
pub mod damage; // damage anywhere is detected and named
pub mod forged_runs; // index runs that lie
pub mod hidden_protected; // protected snapshots that a store hides
pub mod hostile_trees; // trees and targets of an attacker
pub mod listed_not_given; // objects that are listed and missing
#[cfg(feature = "mount")]
pub mod lying_disks; // sources that lie
pub mod lying_lists; // stores that list or send too much
pub mod odd_file_systems; // many kinds of file systems
#[cfg(feature = "mount")]
pub mod plain_disks; // repositories on file systems without links
pub mod replacing_stores; // stores that replace objects
pub mod replayed_objects; // objects put back, removed, dated
pub mod rollbacks_and_copies; // older states and copies
pub mod untrusted_stores; // adversary at the store, honest commands
