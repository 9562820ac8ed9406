//! Store decorators: each adds one property and forwards the rest.

pub mod clock;
pub mod count;
pub mod fault;
pub mod lazy;
pub mod rate_limit;
pub mod retry;
pub mod throttle;

use std::ops::Range;

use super::{Archive, Class, Key, Listed, Store, StoreError, StoreProperties};

/// A decorator of a store. Methods that it does not override call the inner store.
///
/// Every layer is a [`Store`]. Implement this trait instead of `Store`, so that no method is left
/// at its default.
pub trait Layer: Send + Sync {
    /// Returns the store inside.
    fn inner(&self) -> &dyn Store;

    /// Layers [`Store::list`].
    fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.inner().list(class, prefix)
    }

    /// Layers [`Store::stat`].
    fn stat(&self, key: &Key) -> Result<u64, StoreError> {
        self.inner().stat(key)
    }

    /// Layers [`Store::read_into`].
    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        self.inner().read_into(key, range, out)
    }

    /// Layers [`Store::read`].
    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        self.inner().read(key)
    }

    /// Layers [`Store::create`].
    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.inner().create(key, bytes)
    }

    /// Layers [`Store::remove`].
    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.inner().remove(key)
    }

    /// Layers [`Store::location`].
    fn location(&self) -> &str {
        self.inner().location()
    }

    /// Layers [`Store::place`].
    fn place(&self) -> &str {
        self.inner().place()
    }

    /// Layers [`Store::properties`].
    fn properties(&self) -> StoreProperties {
        self.inner().properties()
    }

    /// Layers [`Store::hint_reads`].
    fn hint_reads(&self, keys: &[Key]) {
        self.inner().hint_reads(keys);
    }

    /// Layers [`Store::has_create_race`].
    fn has_create_race(&self) -> bool {
        self.inner().has_create_race()
    }

    /// Layers [`Store::archive`].
    fn archive(&self) -> Option<&dyn Archive> {
        self.inner().archive()
    }
}

impl<L: Layer> Store for L {
    fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        Layer::list(self, class, prefix)
    }

    fn stat(&self, key: &Key) -> Result<u64, StoreError> {
        Layer::stat(self, key)
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        Layer::read_into(self, key, range, out)
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        Layer::read(self, key)
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        Layer::create(self, key, bytes)
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        Layer::remove(self, key)
    }

    fn location(&self) -> &str {
        Layer::location(self)
    }

    fn place(&self) -> &str {
        Layer::place(self)
    }

    fn properties(&self) -> StoreProperties {
        Layer::properties(self)
    }

    fn hint_reads(&self, keys: &[Key]) {
        Layer::hint_reads(self, keys);
    }

    fn has_create_race(&self) -> bool {
        Layer::has_create_race(self)
    }

    fn archive(&self) -> Option<&dyn Archive> {
        Layer::archive(self)
    }
}
