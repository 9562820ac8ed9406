//! Looking after a repository: is it whole, and what does it hold.

pub mod check;
mod reach;
pub mod stats;
