//! Where chunks are: immutable sorted runs, kept as local copies and looked up block by block.
//!
//! Spec: `format-spec/06-index.md`.

mod filter;
mod run;
mod set;
mod write;

pub use run::{Location, Run};
pub use set::IndexSet;
pub use write::{PlacedPack, build_run};
