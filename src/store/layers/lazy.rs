//! Store that is opened with its first call: a backup without changes makes none and needs no
//! network.

use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use crate::store::{Archive, Class, Key, Listed, Store, StoreError, StoreProperties};

use crate::sync::lock;

/// Opens a store.
pub type OpenStore = Box<dyn Fn() -> Result<Arc<dyn Store>, StoreError> + Send + Sync>;

/// Opens another store with the first call and forwards all calls to it. A call that cannot open it
/// fails with the error of opening.
pub struct LazyStore {
    location: String,
    properties: StoreProperties,
    open: OpenStore,
    opened: OnceLock<Arc<dyn Store>>,
    /// Held while it is opened, so that only one thread at a time tries.
    opening: Mutex<()>,
}

impl LazyStore {
    /// Makes a store that is at `location`, has these properties, and is opened by `open`.
    pub fn new(location: String, properties: StoreProperties, open: OpenStore) -> Self {
        Self { location, properties, open, opened: OnceLock::new(), opening: Mutex::new(()) }
    }

    fn get(&self) -> Result<&dyn Store, StoreError> {
        if self.opened.get().is_none() {
            let _guard = lock(&self.opening);
            if self.opened.get().is_none() {
                // No other thread can have set it: the guard is held.
                let _ = self.opened.set((self.open)()?);
            }
        }
        Ok(&**self.opened.get().expect("it has just been opened"))
    }
}

impl Store for LazyStore {
    fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.get()?.list(class, prefix)
    }

    fn stat(&self, key: &Key) -> Result<u64, StoreError> {
        self.get()?.stat(key)
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        self.get()?.read_into(key, range, out)
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        self.get()?.read(key)
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.get()?.create(key, bytes)
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.get()?.remove(key)
    }

    fn location(&self) -> &str {
        &self.location
    }

    fn properties(&self) -> StoreProperties {
        self.properties
    }

    fn hint_reads(&self, keys: &[Key]) {
        if let Some(store) = self.opened.get() {
            store.hint_reads(keys);
        }
    }

    fn has_create_race(&self) -> bool {
        self.get().is_ok_and(Store::has_create_race)
    }

    fn archive(&self) -> Option<&dyn Archive> {
        self.get().ok()?.archive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::store::ErrorKind;
    use crate::store::memory::MemoryStore;

    #[test]
    fn it_is_opened_by_the_first_call_and_once() {
        let tries = Arc::new(AtomicU64::new(0));
        let counter = tries.clone();
        let store = LazyStore::new(
            "somewhere".to_owned(),
            StoreProperties { parallelism: 3, ..StoreProperties::default() },
            Box::new(move || match counter.fetch_add(1, Ordering::Relaxed) {
                0 => Err(StoreError {
                    kind: ErrorKind::Unavailable,
                    action: "open",
                    location: "somewhere".to_owned(),
                    object: String::new(),
                    source: "no route".into(),
                }),
                _ => Ok(Arc::new(MemoryStore::default())),
            }),
        );
        assert_eq!(
            (store.location(), store.properties().parallelism, tries.load(Ordering::Relaxed)),
            ("somewhere", 3, 0)
        );
        let key = Key::new(Class::Keys, "a");
        assert_eq!(store.stat(&key).unwrap_err().kind, ErrorKind::Unavailable);
        std::thread::scope(|scope| {
            (0..4).for_each(|_| {
                drop(
                    scope.spawn(|| {
                        assert_eq!(store.stat(&key).unwrap_err().kind, ErrorKind::NotFound)
                    }),
                )
            });
        });
        store.create(&key, b"x").unwrap();
        assert_eq!((store.read(&key).unwrap(), tries.load(Ordering::Relaxed)), (b"x".to_vec(), 2));
    }
}
