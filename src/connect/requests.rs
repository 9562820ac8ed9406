//! Request counters of a run, because requests cost money and time.

use std::ops::Add;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::store::Action;
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

/// Requests to stores by operation, failed and repeated ones included, and the bytes of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestTotals {
    /// Listings of names.
    pub list: u64,
    /// Questions for the size of an object.
    pub stat: u64,
    /// Reads.
    pub read: u64,
    /// Objects created.
    pub create: u64,
    /// Objects removed.
    pub remove: u64,
    /// Bytes that were sent.
    pub bytes_up: u64,
    /// Bytes that were read.
    pub bytes_down: u64,
}

impl RequestTotals {
    /// Returns the number of all requests.
    pub fn calls(&self) -> u64 {
        self.list + self.stat + self.read + self.create + self.remove
    }
}

impl From<CallCounts> for RequestTotals {
    fn from(counts: CallCounts) -> Self {
        let of = |action| counts.of_action(action);
        Self {
            list: of(Action::List).calls,
            stat: of(Action::Stat).calls,
            read: of(Action::Read).calls,
            create: of(Action::Create).calls,
            remove: of(Action::Remove).calls,
            bytes_up: of(Action::Create).bytes,
            bytes_down: of(Action::Read).bytes,
        }
    }
}

impl Add for RequestTotals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            list: self.list + other.list,
            stat: self.stat + other.stat,
            read: self.read + other.read,
            create: self.create + other.create,
            remove: self.remove + other.remove,
            bytes_up: self.bytes_up + other.bytes_up,
            bytes_down: self.bytes_down + other.bytes_down,
        }
    }
}
