//! Sealed container: building, opening and walking it, in memory.
//!
//! Spec: `format-spec/04-container.md`.

mod build;
mod open;
mod segment;
mod single;
mod verify;

pub use build::{ContainerBuilder, Sealed};
pub use open::{ContainerError, Opener, Walked, walk};
pub use segment::{Segment, SegmentBuilder};
pub use single::{open_single, seal_single};
pub use verify::{verify_pack, verify_segment};

use crate::id::ObjectId;

/// Returns a container's name: the BLAKE3 of its bytes.
pub fn name_of(bytes: &[u8]) -> ObjectId {
    ObjectId(*blake3::hash(bytes).as_bytes())
}
