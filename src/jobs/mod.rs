//! Backups as configured: an app's settings, the caller's options, and one run.

pub mod app;
mod error;
pub mod lists;
pub mod patterns;

pub use app::{Additions, Job};
pub use error::{Error, Result};
