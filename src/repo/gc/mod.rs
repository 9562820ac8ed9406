//! The collection protocol: what writers rely on and what collectors remove, without locks.
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
