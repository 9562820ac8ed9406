//! Snapshots as a read-only file system, by FUSE.
//!
//! The kernel refers to inodes by numbers (`inodes`). `files` answers its requests from the list of
//! snapshots (`catalog`, `views`) and, through `repo::read`, from trees and file content, which is
//! read ahead (`siblings`). Every cache has a limit in bytes. The content of a snapshot never
//! changes, so the kernel may cache everything.

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
mod options;
mod report;
mod session;
mod siblings;
mod views;

pub use attributes::Owner;
pub use error::Error;
pub use memory::set_mmap_threshold;
pub use options::{MountOptions, MountSource};
pub use report::OnReport;
pub use session::{Ended, Mounted, check, mount};
pub use views::NameOfTime;
