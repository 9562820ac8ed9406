//! A dump that is planned: how to make it, and what becomes known of it.

use super::manifest::SharedRecord;
use crate::backup::DumpSource;

/// A dump to make, and its record in the manifest.
pub struct Planned {
    /// The dump.
    pub source: DumpSource,
    /// What is known of it; complete when the dump has ended.
    pub record: SharedRecord,
}
