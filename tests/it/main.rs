//! Every integration test of the project, in one binary.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod backup;
mod conformance;
mod cost;
mod support;
mod tidy;
mod vectors;
