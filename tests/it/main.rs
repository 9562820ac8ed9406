//! Every integration test of the project, in one binary.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod backup;
mod bounded;
mod browse;
mod check;
mod cli;
mod conformance;
mod cost;
mod crash;
mod damage;
#[cfg(all(feature = "mount", feature = "s3", feature = "sftp"))]
mod docs;
mod ends;
#[cfg(any(feature = "s3", feature = "sftp"))]
mod faults;
mod features;
mod fixture;
#[cfg(feature = "s3")]
mod fleet;
mod forged;
mod forget;
mod forward;
mod full;
mod generous;
mod guarded;
mod home;
mod hostile;
mod kill;
mod late;
#[cfg(feature = "mount")]
mod liar;
mod limits;
mod losses;
mod model;
#[cfg(feature = "mount")]
mod mount;
mod mute;
mod odd;
mod older;
mod oracle;
mod overwriting;
#[cfg(feature = "mount")]
mod plain;
#[cfg(feature = "mount")]
mod plain_disk;
mod probe;
mod protocol;
mod prune;
mod reader_py;
mod records;
mod repair;
mod replace;
mod replayed;
mod restore;
mod retention;
mod roundtrip;
mod rules;
#[cfg(feature = "s3")]
mod s3;
mod scale;
mod servers;
#[cfg(feature = "sftp")]
mod sftp;
mod simulation;
mod spec;
mod steady;
mod tidy;
mod trash;
mod trust;
mod unfinished;
mod vectors;
mod verifier;
mod worn;
