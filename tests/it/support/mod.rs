//! Helpers of tests: repositories in memory, scratch home directories, real servers.

pub mod fixture;
pub mod forward;
pub mod home;
#[cfg(feature = "mount")]
pub mod plain_disk;
pub mod servers;
