//! Report of damaged index runs that read-only commands skip: each once, even if several readers
//! meet it.

use std::collections::HashSet;
use std::sync::{Mutex, OnceLock};

use crate::id::ObjectId;
use crate::repo::error::Error;
use crate::sync::lock;

/// Function that receives the error of a run, from any thread.
type OnSkipped = Box<dyn Fn(&Error) + Send + Sync>;

/// The receiver of reports, and the runs that were reported.
#[derive(Default)]
pub(crate) struct SkippedRuns {
    on_skipped: OnceLock<OnSkipped>,
    reported: Mutex<HashSet<ObjectId>>,
}

impl SkippedRuns {
    /// Sets the receiver; only the first call counts.
    pub(crate) fn report_to(&self, on_skipped: impl Fn(&Error) + Send + Sync + 'static) {
        let _ = self.on_skipped.set(Box::new(on_skipped));
    }

    /// Reports a run, unless it was reported before.
    pub(crate) fn report(&self, run: &ObjectId, error: &Error) {
        let is_new = lock(&self.reported).insert(*run);
        if let Some(on_skipped) = self.on_skipped.get().filter(|_| is_new) {
            on_skipped(error);
        }
    }
}
