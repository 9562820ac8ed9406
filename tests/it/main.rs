//! Every integration test of the project, in one binary. Each folder says what it holds.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod campaigns;
mod cli;
#[cfg(all(feature = "mount", feature = "s3", feature = "sftp"))]
mod docs;
mod engine;
mod format;
#[cfg(feature = "mount")]
mod mount;
mod restore;
mod safety;
mod store;
mod support;
mod tidy;
