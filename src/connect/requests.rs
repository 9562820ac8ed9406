//! Request counters of a run, because requests cost money and time.

use std::sync::{Arc, Mutex};

use crate::store::layers::count::{CallCounts, CountStore};
use crate::sync::lock;

/// The counters of all stores of a run.
#[derive(Default)]
pub struct Requests(Mutex<Vec<Arc<CountStore>>>);

impl Requests {
    /// Adds the counters of another store.
    pub fn add(&self, store: Arc<CountStore>) {
        lock(&self.0).push(store);
    }

    /// Returns the sum so far; `None` if no store was opened.
    pub fn counts(&self) -> Option<CallCounts> {
        let stores = lock(&self.0);
        let sum = stores.iter().fold(CallCounts::default(), |sum, store| sum + store.counts());
        (!stores.is_empty()).then_some(sum)
    }
}
