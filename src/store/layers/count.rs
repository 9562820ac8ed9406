//! Layer that counts calls and bytes: requests cost money and time, so tests fix their number.

use std::ops::{Add, Range, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::{Action, Class, Key, Listed, Store, StoreError};

/// Calls and bytes of one action on one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallCount {
    /// Calls, failed ones included.
    pub calls: u64,
    /// Bytes of objects that were read or created; for a `list`, the number of names returned.
    pub bytes: u64,
}

/// Counts of all actions on all classes at one moment; the difference of two is what happened
/// between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallCounts([[CallCount; Class::ALL.len()]; Action::ALL.len()]);

impl CallCounts {
    /// Returns the counts of one action on one class.
    pub fn of(&self, action: Action, class: Class) -> CallCount {
        self.0[action as usize][class as usize]
    }

    /// Returns the counts of one action on all classes.
    pub fn of_action(&self, action: Action) -> CallCount {
        sum(self.0[action as usize].iter())
    }

    /// Returns the counts of everything.
    pub fn total(&self) -> CallCount {
        sum(self.0.iter().flatten())
    }
}

impl Add for CallCounts {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        for (count, more) in self.0.iter_mut().flatten().zip(other.0.iter().flatten()) {
            count.calls += more.calls;
            count.bytes += more.bytes;
        }
        self
    }
}

impl Sub for CallCounts {
    type Output = Self;

    fn sub(mut self, earlier: Self) -> Self {
        for (count, before) in self.0.iter_mut().flatten().zip(earlier.0.iter().flatten()) {
            count.calls -= before.calls;
            count.bytes -= before.bytes;
        }
        self
    }
}

fn sum<'a>(counts: impl Iterator<Item = &'a CallCount>) -> CallCount {
    counts.fold(CallCount::default(), |sum, count| CallCount {
        calls: sum.calls + count.calls,
        bytes: sum.bytes + count.bytes,
    })
}

/// Counts every call to the store that it wraps.
pub struct CountStore {
    inner: Arc<dyn Store>,
    counts: [[(AtomicU64, AtomicU64); Class::ALL.len()]; Action::ALL.len()],
}

impl CountStore {
    /// Wraps a store; counting starts at zero.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, counts: Default::default() }
    }

    /// Returns the counts so far.
    pub fn counts(&self) -> CallCounts {
        let load = |(calls, bytes): &(AtomicU64, AtomicU64)| CallCount {
            calls: calls.load(Ordering::Relaxed),
            bytes: bytes.load(Ordering::Relaxed),
        };
        CallCounts(std::array::from_fn(|action| {
            std::array::from_fn(|class| load(&self.counts[action][class]))
        }))
    }

    fn note<T>(
        &self,
        action: Action,
        class: Class,
        result: &Result<T, StoreError>,
        bytes: impl Fn(&T) -> usize,
    ) {
        let (calls, total) = &self.counts[action as usize][class as usize];
        calls.fetch_add(1, Ordering::Relaxed);
        total.fetch_add(result.as_ref().map_or(0, bytes) as u64, Ordering::Relaxed);
    }
}

impl super::Layer for CountStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let result = self.inner.list(class, prefix);
        self.note(Action::List, class, &result, Vec::len);
        result
    }

    fn stat(&self, key: &Key) -> Result<u64, StoreError> {
        let result = self.inner.stat(key);
        self.note(Action::Stat, key.class, &result, |_| 0);
        result
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let before = out.len();
        let result = self.inner.read_into(key, range, out);
        self.note(Action::Read, key.class, &result, |()| out.len() - before);
        result
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        let result = self.inner.read(key);
        self.note(Action::Read, key.class, &result, Vec::len);
        result
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        let result = self.inner.create(key, bytes);
        self.note(Action::Create, key.class, &result, |()| bytes.len());
        result
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        let result = self.inner.remove(key);
        self.note(Action::Remove, key.class, &result, |()| 0);
        result
    }
}
