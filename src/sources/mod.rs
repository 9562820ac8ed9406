//! Sources of a backup that are not files in a directory.

pub mod command;
pub mod manifest;
pub mod patient;
pub mod process;
pub mod runner;
