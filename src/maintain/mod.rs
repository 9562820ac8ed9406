//! Looking after a repository: is it whole, and what does it hold.

pub mod check;
pub mod evidence;
pub mod forget;
mod mark;
pub mod prune;
pub mod repair;
mod scope;
pub mod stats;
