//! Writing: chunks in, durable packs and index runs out.
//!
//! Spec: `format-spec/13-commit.md`, section 3.

mod claims;
mod engine;
mod journal;
mod lane;
pub mod list_builder;
mod options;
mod session;
pub mod tree_builder;

pub use journal::{Clock, Journal, SessionIdentity};
pub use lane::Lane;
pub use options::{Checkpoints, SessionOptions, SessionStats};
pub use session::{DurablePacks, Session};
