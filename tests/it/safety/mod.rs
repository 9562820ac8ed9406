//! Hostile, lying, damaged and odd surroundings: stores, disks, keys in wrong hands.

mod bad_sectors; // objects that cannot be read
mod bounded_memory; // deep, forged and huge structures
mod damage; // damage anywhere is detected and named
mod forged_runs; // index runs that lie
mod hidden_protected; // protected snapshots that a store hides
mod hostile_trees; // trees and targets of an attacker
mod listed_not_given; // objects that are listed and missing
#[cfg(feature = "mount")]
mod lying_disks; // sources that lie
mod lying_lists; // stores that list or send too much
mod odd_file_systems; // many kinds of file systems
#[cfg(feature = "mount")]
mod plain_disks; // repositories on file systems without links
mod replacing_stores; // stores that replace objects
mod replayed_objects; // objects put back, removed, dated
mod rollbacks_and_copies; // older states and copies
mod untrusted_stores; // adversary at the store, honest commands
