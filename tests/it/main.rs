//! Every integration test of the project, in one binary.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod backup;
mod check;
mod conformance;
mod cost;
mod fixture;
mod reader_py;
mod spec;
mod restore;
mod support;
mod tidy;
mod vectors;
