//! Index runs that those who look do without, because they are damaged: each is told once, however
//! many readers meet it.

use std::collections::HashSet;
use std::sync::{Mutex, OnceLock};

use crate::id::ObjectId;
use crate::repo::error::Error;
use crate::sync::lock;

/// Is called with what is wrong with a run; by any thread.
type Tell = Box<dyn Fn(&Error) + Send + Sync>;

/// Who is told, and what was told.
#[derive(Default)]
pub struct LeftOut {
    tell: OnceLock<Tell>,
    told: Mutex<HashSet<ObjectId>>,
}

impl LeftOut {
    /// Tells from now on by `tell`; only the first counts.
    pub fn tell_by(&self, tell: impl Fn(&Error) + Send + Sync + 'static) {
        let _ = self.tell.set(Box::new(tell));
    }

    /// Tells of a run, unless that was told.
    pub fn tell(&self, run: &ObjectId, error: &Error) {
        let is_new = lock(&self.told).insert(*run);
        if let Some(tell) = self.tell.get().filter(|_| is_new) {
            tell(error);
        }
    }
}
