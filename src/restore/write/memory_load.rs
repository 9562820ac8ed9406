//! How much memory the long parts of the entries take that are under way: attributes, inline
//! content, lists of pieces.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Entries whose parts take less are not weighed: their number is bounded elsewhere.
const WEIGHED_MIN_BYTES: usize = 1 << 10;
/// From here on the walk waits for the workers, in bytes.
const HIGH_BYTES: usize = 32 << 20;

/// The sum over all entries that are under way.
#[derive(Default)]
pub struct Load {
    bytes: AtomicUsize,
}

/// The part of one entry in the sum; it is taken off when this is dropped.
pub struct Weight {
    bytes: usize,
    load: Arc<Load>,
}

impl Load {
    /// Adds an entry whose parts take so many bytes; `None` if that is not worth counting.
    pub fn add(self: &Arc<Self>, bytes: usize) -> Option<Arc<Weight>> {
        (bytes >= WEIGHED_MIN_BYTES).then(|| {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            Arc::new(Weight { bytes, load: self.clone() })
        })
    }

    /// Returns whether nothing should be added before some of it is done.
    pub fn is_high(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= HIGH_BYTES
    }

    /// Returns whether enough of it is done for the walk to go on.
    pub fn has_room(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) <= HIGH_BYTES / 2
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.load.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_weighs_until_it_is_done() {
        let load = Arc::new(Load::default());
        assert!(load.add(WEIGHED_MIN_BYTES - 1).is_none());
        let weights: Vec<_> = (0..4).map(|_| load.add(HIGH_BYTES / 4)).collect();
        assert!(load.is_high() && !load.has_room());
        drop(weights);
        assert!(!load.is_high() && load.has_room());
    }
}
