//! Sources of a backup that are not files in a directory.

pub mod container;
pub mod dump_file;
pub mod engine_api;
pub mod escape;
pub mod failure;
pub mod finding;
pub mod manifest;
pub mod mbstream;
pub mod mysql;
pub mod patient;
pub mod planned;
pub mod postgres;
pub mod process;
mod program_lines;
pub mod runner;
pub mod shell_command;
pub mod special;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod subversion;
