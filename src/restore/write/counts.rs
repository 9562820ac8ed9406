//! Counters of restored content and entries, in the report and in the progress.

use super::context::RestoreContext;
use crate::restore::options::add;

/// Counts written content.
pub(crate) fn count_written(context: &RestoreContext, len: usize) {
    add(&context.counts.bytes_written, len as u64);
    add(&context.monitor.bytes_done, len as u64);
}

/// Counts content that was already right.
pub(crate) fn count_kept(context: &RestoreContext, len: u64) {
    add(&context.counts.bytes_kept, len);
    add(&context.monitor.bytes_done, len);
}

/// Counts a finished entry that is not a directory.
pub(crate) fn entry_done(context: &RestoreContext, size: u64) {
    add(&context.counts.files, 1);
    add(&context.counts.bytes, size);
    add(&context.monitor.files_done, 1);
}
