//! Collection protocol, without locks: records of what writers rely on and of what collectors
//! remove.
//!
//! Spec: `format-spec/13-commit.md`.

pub mod collect;
pub mod generations;
pub mod horizon;
pub mod intents;
pub(in crate::repo) mod known_whole;
pub mod loss;
pub mod object_locks;
pub(in crate::repo) mod records;
pub mod reserve;
