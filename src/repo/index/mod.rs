//! Where chunks are: immutable sorted runs, kept as local copies and looked up block by block.
//!
//! Spec: `format-spec/06-index.md`.

pub(super) mod end;
mod far;
mod fetch;
mod filter;
mod known;
mod merge;
mod run;
mod set;
mod write;

pub use known::{Avoided, Place};
pub use merge::{MERGED_RECORDS_MAX, merge_runs};
pub use run::{DRAFTS, FILTERS, Location, Run, WHOLE};
pub use set::IndexSet;
pub use write::{Origin, PlacedPack, build_replacing_run, build_run, seal_run};
