//! Snapshots as a read-only file system, by FUSE.
//!
//! The kernel asks by numbers (`inodes`); `files` answers, from the list of snapshots (`catalog`,
//! `views`), from nodes of trees (`nodes`) and from segments of file content (`segments`), which
//! are read ahead where a file is read in order (`ahead`, `siblings`). Everything that is kept has
//! a limit in bytes; the content of a snapshot never changes, so the kernel may keep all it learns.

mod attributes;
mod catalog;
mod dirs;
mod error;
mod files;
mod handles;
mod inodes;
mod kernel;
mod links;
mod memory;
mod report;
mod session;
mod siblings;
mod views;

pub use attributes::Owner;
pub use error::Error;
pub use files::{MountOptions, MountSource};
pub use memory::set_mmap_threshold;
pub use report::OnReport;
pub use session::{Ended, Mounted, check, mount};
pub use views::NameOfTime;
