//! Stores: the contract of every one, and rules for buckets and SFTP servers.

mod conformance; // contract of `Store`
#[cfg(any(feature = "s3", feature = "sftp"))]
mod faults; // slow, broken, silent connections
mod probe; // abilities of a store
mod rate_limits; // limits of speed
#[cfg(feature = "s3")]
mod s3; // buckets
#[cfg(feature = "sftp")]
mod sftp; // SFTP servers
