//! Backups as configured: an app's settings, the caller's options, and one run.

pub mod app;
pub mod check;
pub mod containers;
pub mod daemon;
mod databases;
pub mod dumps;
mod error;
#[cfg(feature = "cli")]
pub mod gather;
pub mod hooks;
pub mod lists;
mod manifest;
pub mod patterns;
mod range_notes;
pub mod run;
pub mod state;
#[cfg(feature = "cli")]
pub mod tell;
mod timed;
pub mod timetable;
pub mod transient;
pub mod upkeep;

pub use app::{Additions, Job};
pub use error::{Error, Result};
