//! State of a repository after the mark phase, from which a plan is made.

use std::collections::HashSet;
use std::sync::Arc;

use super::roots::Roots;
use crate::id::ObjectId;
use crate::repo::Reader;
use crate::repo::gc::collect::PackList;
use crate::repo::gc::horizon::Horizon;
use crate::repo::read::reachable::MarkBits;

/// State of a repository after the mark phase.
pub(super) struct Marked {
    /// Reads by the index that was marked.
    pub reader: Arc<Reader>,
    /// The generations that were seen.
    pub horizon: Horizon,
    /// The packs in the store.
    pub listed: PackList,
    /// MarkBits of the reachable chunks.
    pub marks: MarkBits,
    /// Snapshots and intents.
    pub roots: Roots,
    /// Packs that this prune has stored.
    pub own: HashSet<ObjectId>,
}
