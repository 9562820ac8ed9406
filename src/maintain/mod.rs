//! Maintenance of a repository: check, repair, forget, prune and statistics.

pub mod check;
pub mod evidence;
pub mod forget;
mod mark;
pub mod prune;
pub mod repair;
mod scope;
pub mod stats;
