//! Index of the places of chunks: immutable sorted runs, cached locally and read block by block.
//!
//! Spec: `format-spec/06-index.md`.

mod chunk_index;
mod fetch;
mod filter;
mod merge;
mod places;
mod remote;
mod run;
mod set;
pub(super) mod tail;
mod update;
mod write;

pub use self::places::{Avoided, ChunkPlace};
pub use chunk_index::ChunkIndex;
pub use merge::{MERGED_RECORDS_MAX, RunMerge, merge_runs};
pub use run::{DRAFTS, FILTERS, Location, Run, WHOLE};
pub use set::IndexSet;
pub use write::{PlacedPack, RunOrigin, build_replacing_run, build_run, seal_run};
