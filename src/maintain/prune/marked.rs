//! State of a repository after marking: what a plan is made of.

use std::collections::HashSet;
use std::sync::Arc;

use super::roots::Roots;
use crate::id::ObjectId;
use crate::repo::Reader;
use crate::repo::gc::collect::PackList;
use crate::repo::gc::horizon::Horizon;
use crate::repo::read::reachable::MarkBits;

/// State of the repository after marking.
pub struct Marked {
    /// Reads by the index that was marked.
    pub reader: Arc<Reader>,
    /// The generations that were seen.
    pub horizon: Horizon,
    /// The packs in the store.
    pub listed: PackList,
    /// Which chunks are reachable.
    pub marks: MarkBits,
    /// Snapshots and intents.
    pub roots: Roots,
    /// Packs that this collector has stored.
    pub own: HashSet<ObjectId>,
}
