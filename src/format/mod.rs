//! Stored structures and their bytes: values in, bytes out, and back.
//!
//! This code opens no files, reads no clocks and draws no randomness.
//!
//! Spec: `format-spec/`.

pub mod codec;
pub mod config;
pub mod container;
pub mod entry;
pub mod generation;
pub mod intent;
pub mod limits;
pub mod node;
pub mod padding;
pub mod promise;
pub mod run;
pub mod slot;
pub mod snapshot;
pub mod tombstone;

#[cfg(test)]
mod tests;
