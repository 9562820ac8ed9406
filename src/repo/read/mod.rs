//! Reading: chunks by their ids, directories node by node, and all that a snapshot reaches.

mod descent;
pub mod entries;
pub mod file_content;
pub mod file_map;
pub mod file_stream;
mod mark_bits;
mod meta_packs;
pub mod node_cache;
pub mod node_ref;
pub mod pack_tables;
mod packs;
mod padded;
mod prefetch;
pub mod reachable;
pub mod readahead;
pub mod reader;
pub mod segment_cache;
pub mod stack;
pub mod tree_diff;
pub mod trees;

pub use descent::Descent;
pub use packs::CompressedSegment;
pub use padded::PaddedPart;
pub use prefetch::prefetch_listings;
pub use reader::Reader;
pub use trees::{DirEntry, Trees};
