//! Index runs that those who look do without, because they are damaged: each is reported once, however
//! many readers meet it.

use std::collections::HashSet;
use std::sync::{Mutex, OnceLock};

use crate::id::ObjectId;
use crate::repo::error::Error;
use crate::sync::lock;

/// Is called with what is wrong with a run; by any thread.
type OnSkipped = Box<dyn Fn(&Error) + Send + Sync>;

/// Who is told, and which runs were reported.
#[derive(Default)]
pub struct SkippedRuns {
    on_skipped: OnceLock<OnSkipped>,
    reported: Mutex<HashSet<ObjectId>>,
}

impl SkippedRuns {
    /// Sets whom to tell; only the first call counts.
    pub fn report_to(&self, on_skipped: impl Fn(&Error) + Send + Sync + 'static) {
        let _ = self.on_skipped.set(Box::new(on_skipped));
    }

    /// Reports a run, unless it was reported.
    pub fn report(&self, run: &ObjectId, error: &Error) {
        let is_new = lock(&self.reported).insert(*run);
        if let Some(on_skipped) = self.on_skipped.get().filter(|_| is_new) {
            on_skipped(error);
        }
    }
}
