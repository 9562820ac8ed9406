//! Looking into snapshots without restoring: finding a path, walking what is below it, streaming a file.
//!
//! Only `cat` reads file content; everything else reads trees.

mod cat;
mod error;
mod place;
mod walk;

pub use cat::cat;
pub use error::Error;
pub use place::{Place, find};
pub use walk::Walk;
