//! Store in memory, for tests and simulations: the reference for every other store.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Action, Class, ErrorKind, Key, Listed, Store, StoreError};

use crate::sync;

/// A store in memory.
#[derive(Default)]
pub struct MemoryStore {
    objects: RwLock<BTreeMap<Key, StoredObject>>,
    clock_s: RwLock<Option<i64>>,
    /// Whether `create` replaces objects.
    replaces: AtomicBool,
    /// Keys of replaced objects.
    replaced: RwLock<Vec<Key>>,
}

#[derive(Clone)]
struct StoredObject {
    bytes: Arc<[u8]>,
    modified_s: Option<i64>,
}

/// Cause of a refused call.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(&'static str);

impl MemoryStore {
    /// Returns an independent copy of the store, like an image of a disk.
    pub fn image(&self) -> Self {
        Self {
            objects: RwLock::new(self.objects().clone()),
            clock_s: RwLock::new(self.clock_s()),
            replaces: AtomicBool::new(self.replaces.load(Ordering::Relaxed)),
            replaced: RwLock::default(),
        }
    }

    /// Lets `create` replace objects from now on, as some servers do. For tests.
    pub fn replace_objects(&self) {
        self.replaces.store(true, Ordering::Relaxed);
    }

    /// Returns the objects that a `create` has replaced by other bytes.
    pub fn replaced(&self) -> Vec<Key> {
        sync::read(&self.replaced).clone()
    }

    /// Sets the time of objects that are made from now on, in seconds since 1970. At first they
    /// have none.
    pub fn set_clock(&self, now_s: i64) {
        *sync::write(&self.clock_s) = Some(now_s);
    }

    fn clock_s(&self) -> Option<i64> {
        *sync::read(&self.clock_s)
    }

    /// Returns the names of all objects, sorted.
    pub fn keys(&self) -> Vec<Key> {
        self.objects().keys().cloned().collect()
    }

    /// Replaces an object, existing or not, as a failing medium would. For tests.
    pub fn overwrite(&self, key: &Key, bytes: &[u8]) {
        let object = StoredObject { bytes: bytes.into(), modified_s: self.clock_s() };
        self.objects_mut().insert(key.clone(), object);
    }

    fn objects(&self) -> RwLockReadGuard<'_, BTreeMap<Key, StoredObject>> {
        sync::read(&self.objects)
    }

    fn objects_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<Key, StoredObject>> {
        sync::write(&self.objects)
    }

    fn get(&self, action: Action, key: &Key) -> Result<Arc<[u8]>, StoreError> {
        let found = self.objects().get(key).map(|object| object.bytes.clone());
        found.ok_or_else(|| self.fail(action, ErrorKind::NotFound, key, "no such object"))
    }

    fn fail(&self, action: Action, kind: ErrorKind, key: &Key, why: &'static str) -> StoreError {
        let location = self.location().to_owned();
        StoreError {
            kind,
            action: action.name(),
            location,
            object: key.to_string(),
            source: Box::new(Refused(why)),
        }
    }
}

impl Store for MemoryStore {
    fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let objects = self.objects();
        let from_here_on = objects.range(Key::new(class, prefix)..);
        let matching =
            from_here_on.take_while(|(key, _)| key.class == class && key.name.starts_with(prefix));
        let listed = |(key, object): (&Key, &StoredObject)| Listed {
            name: key.name.clone(),
            len_bytes: object.bytes.len() as u64,
            modified_s: object.modified_s,
        };
        Ok(matching.map(listed).collect())
    }

    fn stat(&self, key: &Key) -> Result<u64, StoreError> {
        self.get(Action::Stat, key).map(|bytes| bytes.len() as u64)
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let bytes = self.get(Action::Read, key)?;
        let part = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        match part.and_then(|(start, end)| bytes.get(start..end)) {
            Some(part) => out.extend_from_slice(part),
            None => {
                return Err(self.fail(
                    Action::Read,
                    ErrorKind::Short,
                    key,
                    "the object ends before the range",
                ));
            }
        }
        Ok(())
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        self.get(Action::Read, key).map(|bytes| bytes.to_vec())
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        let object = StoredObject { bytes: bytes.into(), modified_s: self.clock_s() };
        match self.objects_mut().entry(key.clone()) {
            Entry::Vacant(place) => drop(place.insert(object)),
            Entry::Occupied(mut place) if self.replaces.load(Ordering::Relaxed) => {
                if *place.insert(object).bytes != *bytes {
                    sync::write(&self.replaced).push(key.clone());
                }
            }
            Entry::Occupied(_) => {
                return Err(self.fail(Action::Create, ErrorKind::Exists, key, "the object exists"));
            }
        }
        Ok(())
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.objects_mut().remove(key);
        Ok(())
    }

    fn location(&self) -> &str {
        "memory"
    }
}
