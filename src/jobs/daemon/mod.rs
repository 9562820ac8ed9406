//! Decisions of the daemon: what begins now, and what waits. Pure, without clock and processes.
//!
//! The daemon itself is in the command line: it looks at the clock, asks these, and starts child
//! processes.

mod patience;
mod quiet;
mod turns;

pub use patience::Patience;
pub use quiet::Quiet;
pub use turns::{Task, next_turns};
