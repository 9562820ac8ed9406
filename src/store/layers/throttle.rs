//! Layer that applies a [`RateLimiter`] to stores without their own: directories, which are often
//! on network disks.
//!
//! It moves whole objects, so it waits for all pieces of an object before it stores it, and after
//! it has read it.

use std::ops::Range;
use std::sync::Arc;

use super::rate_limit::{PIECE_LEN_MAX_BYTES, RateLimiter};
use crate::store::{Key, Store, StoreError};

/// Limits the speed of reads and creations.
pub struct ThrottleStore {
    inner: Arc<dyn Store>,
    rate_limiter: Arc<RateLimiter>,
}

impl ThrottleStore {
    /// Wraps a store.
    pub fn new(inner: Arc<dyn Store>, rate_limiter: Arc<RateLimiter>) -> Self {
        Self { inner, rate_limiter }
    }

    fn received(&self, len_bytes: usize) {
        pieces(len_bytes).for_each(|piece| self.rate_limiter.download(piece));
    }
}

/// Returns the lengths of the pieces of an object.
fn pieces(len_bytes: usize) -> impl Iterator<Item = usize> {
    (0..len_bytes)
        .step_by(PIECE_LEN_MAX_BYTES)
        .map(move |at| PIECE_LEN_MAX_BYTES.min(len_bytes - at))
}

impl super::Layer for ThrottleStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let before = out.len();
        self.inner.read_into(key, range, out)?;
        self.received(out.len() - before);
        Ok(())
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        let bytes = self.inner.read(key)?;
        self.received(bytes.len());
        Ok(bytes)
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        pieces(bytes.len()).for_each(|piece| self.rate_limiter.upload(piece));
        self.inner.create(key, bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::Class;
    use crate::store::layers::clock::Clock;
    use crate::store::layers::clock::tests::TestClock;
    use crate::store::memory::MemoryStore;

    #[test]
    fn objects_go_up_and_down_at_the_limit() {
        let clock = Arc::new(TestClock::default());
        let rate_limiter = Arc::new(RateLimiter::new(clock.clone(), Some(1 << 20), Some(4 << 20)));
        let store = ThrottleStore::new(Arc::new(MemoryStore::default()), rate_limiter);
        let key = Key::new(Class::Data, "00/00");
        let bytes = vec![7; (8 << 20) + 1];
        store.create(&key, &bytes).unwrap();
        let up = clock.now();
        assert!(up > Duration::from_millis(7800) && up <= Duration::from_millis(8001), "{up:?}");
        assert_eq!(store.read(&key).unwrap(), bytes);
        let down = clock.now() - up;
        assert!(
            down > Duration::from_millis(1800) && down <= Duration::from_millis(2001),
            "{down:?}"
        );
        let mut part = vec![1];
        store.read_into(&key, 5..9, &mut part).unwrap();
        assert_eq!(part, [1, 7, 7, 7, 7]);
    }

    #[test]
    fn pieces_are_all_of_it() {
        for len in [0, 1, PIECE_LEN_MAX_BYTES, PIECE_LEN_MAX_BYTES + 1, 100_000] {
            assert_eq!(pieces(len).sum::<usize>(), len);
            assert!(pieces(len).all(|piece| piece > 0 && piece <= PIECE_LEN_MAX_BYTES));
        }
    }
}
