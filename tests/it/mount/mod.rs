//! Goal: a mounted repository is the source as it was, to every program that only reads; it takes
//! little, harms nothing and goes away when it is told to. Method: the real program, mounted in a
//! scratch home, and the system's own tools as judges.
//!
//! These tests need `/dev/fuse` and the package fuse3.

mod damage; // damaged repositories
mod equal_to_source; // equality with the source
mod folders_above_snapshots; // by id, time, app, host
mod lifecycle; // begin and end
mod partial_reads; // partial and concurrent reads
#[cfg(any(feature = "s3", feature = "sftp"))]
mod remote_repositories; // buckets and SFTP servers
mod soak; // readers beside backups and prunes
