//! Looking into snapshots without restoring: finding a path, walking what is below it, streaming a
//! file, comparing snapshots, following a path through all of them, searching, adding up.
//!
//! Only `cat` reads file content; everything else reads trees.

mod cat;
mod changes;
mod diff;
mod error;
mod fields;
mod history;
mod place;
mod search;
mod usage;
mod walk;
mod window;

pub use cat::cat;
pub use diff::{Change, ChangeKind, Diff};
pub use error::Error;
pub use fields::{Field, Fields};
pub use history::{History, Series, Version, VersionStep, history, len_bytes};
pub use place::{Place, find};
pub use search::{Criteria, PatternOptions, Patterns, Search};
pub use usage::{Usage, Usages};
pub use walk::Walk;
pub use window::WindowLimits;
