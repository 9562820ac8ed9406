//! Every integration test of the project, in one binary.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod backup;
mod check;
mod cli;
mod conformance;
mod cost;
mod damage;
mod docs;
mod features;
mod fixture;
mod home;
mod hostile;
mod reader_py;
mod restore;
mod roundtrip;
mod spec;
mod support;
mod tidy;
mod vectors;
