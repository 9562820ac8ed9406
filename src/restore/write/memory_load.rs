//! Memory of entries in progress: their attributes, inline content and lists of pieces. The walk
//! waits while it is high.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Smaller entries are not counted: their number is bounded elsewhere.
const WEIGHED_MIN_BYTES: usize = 1 << 10;
/// At this sum, in bytes, the walk waits for the workers.
const HIGH_BYTES: usize = 32 << 20;

/// The sum over all entries in progress.
#[derive(Default)]
pub(crate) struct Load {
    bytes: AtomicUsize,
}

/// The share of one entry, which is subtracted when this is dropped.
pub(crate) struct Weight {
    bytes: usize,
    load: Arc<Load>,
}

impl Load {
    /// Adds an entry of this size; `None` if it is too small to be counted.
    pub(crate) fn add(self: &Arc<Self>, bytes: usize) -> Option<Arc<Weight>> {
        (bytes >= WEIGHED_MIN_BYTES).then(|| {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            Arc::new(Weight { bytes, load: self.clone() })
        })
    }

    /// Returns whether the walk should wait.
    pub(crate) fn is_high(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= HIGH_BYTES
    }

    /// Returns whether the walk may continue.
    pub(crate) fn has_room(&self) -> bool {
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
