//! The host's file system: directories, stat, attributes and owners, always relative to open
//! directories.
//!
//! Only [`dir::Dir::open`], for roots that the user named, and [`dir::Dir::open_through`], for
//! links that were checked before, follow symbolic links.

pub mod apply;
pub mod attributes;
pub mod bounded_read;
pub mod descriptors;
pub mod dir;
pub mod filesystem;
pub mod habits;
pub mod holes;
pub mod lease;
pub mod owners;
pub mod process;
pub mod shell;
pub mod special;
pub mod stat;
