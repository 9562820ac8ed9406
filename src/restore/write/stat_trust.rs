//! Trust in the size and time of existing files.

use crate::format::entry::Timestamp;
use crate::format::snapshot::Snapshot;
use crate::restore::target::restore_mark;

/// Rules for trusting size and time of existing files without reading them.
#[derive(Default)]
pub(crate) struct StatTrust {
    /// Files with this modification time or a later one are compared by content: see the crash
    /// reasoning in `restore/mod.rs`.
    pub before: Timestamp,
    /// The target's mark, with the earlier runs.
    pub mark: restore_mark::MarkState,
}

impl StatTrust {
    /// Takes the mark; after another boot nothing is trusted.
    pub(crate) fn new(snapshot: &Snapshot, mark: restore_mark::MarkState) -> Self {
        let before = if mark.is_doubtful {
            Timestamp { seconds: i64::MIN, nanos: 0 }
        } else {
            snapshot.started
        };
        Self { before, mark }
    }
}
