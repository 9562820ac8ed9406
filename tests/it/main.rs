//! Every integration test of the project, in one binary. Each folder says what it holds.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod apps; // apps: dumps, runs, memory
mod campaigns; // searches for faults
mod cli; // the real program
#[cfg(all(feature = "mount", feature = "s3", feature = "sftp"))]
mod docs; // documentation as it is
mod engine; // operations on a repository
mod format; // stored bytes
#[cfg(feature = "mount")]
mod mount; // mounted repositories
mod restore; // restore and archives
mod safety; // hostile and damaged surroundings
mod store; // stores
mod support; // helpers
mod tidy; // architecture rules
