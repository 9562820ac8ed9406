//! Backups as the configuration describes them: an app, what the caller adds, and one run of it.

pub mod app;
mod error;
pub mod lists;
pub mod patterns;

pub use app::{Additions, Job};
pub use error::{Error, Result};
