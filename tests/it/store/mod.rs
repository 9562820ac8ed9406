//! What every store must do, and what is particular to buckets and SFTP servers.

pub mod conformance;
#[cfg(any(feature = "s3", feature = "sftp"))]
pub mod faults;
pub mod probe;
pub mod rate_limits;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(feature = "sftp")]
pub mod sftp;
