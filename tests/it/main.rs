//! Every integration test of the project, in one binary.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod conformance;
mod tidy;
mod vectors;
