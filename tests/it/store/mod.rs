//! Stores: the contract of every one, and rules for buckets and SFTP servers.

pub mod conformance; // contract of `Store`
#[cfg(any(feature = "s3", feature = "sftp"))]
pub mod faults; // slow, broken, silent connections
pub mod probe; // abilities of a store
pub mod rate_limits; // limits of speed
#[cfg(feature = "s3")]
pub mod s3; // buckets
#[cfg(feature = "sftp")]
pub mod sftp; // SFTP servers
