//! The target of a restore: directories identified by inode, and the checks that protect them.

pub(super) mod descriptors;
pub(super) mod dir;
pub(super) mod file_systems;
pub(super) mod protected_dirs;
pub(super) mod restore_mark;
pub(super) mod spelling;
pub(super) mod taken_over;
