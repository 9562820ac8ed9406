//! The target of a restore: directories identified by inode, and the checks that protect them.

pub mod descriptors;
pub mod dir;
pub mod file_systems;
pub mod protected_dirs;
pub mod restore_mark;
pub mod spelling;
pub mod taken_over;
