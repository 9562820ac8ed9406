//! The plan of a restore: the selected entries of a snapshot, and the ranges of packs that hold
//! their content.

pub(super) mod coverage;
pub(super) mod read_plan;
pub(super) mod select;
pub(super) mod trimmed_dir;
pub(super) mod walk;
