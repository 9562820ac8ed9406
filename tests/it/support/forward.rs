//! Stores of tests that do one thing otherwise than the store inside of them.

/// Makes methods of `Store` that hand on to `self.inner`.
macro_rules! forward_to_inner {
    ($($method:ident),*) => { $(crate::support::forward::forward_one!($method);)* };
}

macro_rules! forward_one {
    (list) => {
        fn list(
            &self,
            class: drumlin::store::Class,
            prefix: &str,
        ) -> Result<Vec<drumlin::store::Listed>, drumlin::store::StoreError> {
            self.inner.list(class, prefix)
        }
    };
    (stat) => {
        fn stat(&self, key: &drumlin::store::Key) -> Result<u64, drumlin::store::StoreError> {
            self.inner.stat(key)
        }
    };
    (read_into) => {
        fn read_into(
            &self,
            key: &drumlin::store::Key,
            range: std::ops::Range<u64>,
            out: &mut Vec<u8>,
        ) -> Result<(), drumlin::store::StoreError> {
            self.inner.read_into(key, range, out)
        }
    };
    (read) => {
        fn read(&self, key: &drumlin::store::Key) -> Result<Vec<u8>, drumlin::store::StoreError> {
            self.inner.read(key)
        }
    };
    (create) => {
        fn create(&self, key: &drumlin::store::Key, bytes: &[u8]) -> Result<(), drumlin::store::StoreError> {
            self.inner.create(key, bytes)
        }
    };
    (remove) => {
        fn remove(&self, key: &drumlin::store::Key) -> Result<(), drumlin::store::StoreError> {
            self.inner.remove(key)
        }
    };
    (location) => {
        fn location(&self) -> &str {
            self.inner.location()
        }
    };
}

pub(crate) use {forward_one, forward_to_inner};
