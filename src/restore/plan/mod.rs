//! The plan of a restore: the selected entries of a snapshot, and the ranges of packs that hold
//! their content.

pub mod coverage;
pub mod read_plan;
pub mod select;
pub mod trimmed_dir;
pub mod walk;
