//! Clock of the layers; tests use one without real waits.

use std::time::{Duration, Instant};

/// A clock with waits.
pub trait Clock: Send + Sync {
    /// Returns the time since a fixed moment.
    fn now(&self) -> Duration;

    /// Waits; returns false at once if the operation was cancelled.
    fn wait(&self, span: Duration) -> bool;

    /// Waits, even if the operation was cancelled.
    fn wait_out(&self, span: Duration);
}

/// The system's monotonic clock.
pub struct SystemClock {
    began: Instant,
    is_cancelled: fn() -> bool,
}

/// Interval between checks for cancellation.
const SLICE: Duration = Duration::from_millis(50);

impl SystemClock {
    /// Makes a clock whose waits end when `is_cancelled` says so.
    pub fn new(is_cancelled: fn() -> bool) -> Self {
        Self { began: Instant::now(), is_cancelled }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn wait(&self, span: Duration) -> bool {
        let end = self.now() + span;
        loop {
            if (self.is_cancelled)() {
                return false;
            }
            let left = end.saturating_sub(self.now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(SLICE));
        }
    }

    fn wait_out(&self, span: Duration) {
        std::thread::sleep(span);
    }
}

#[cfg(test)]
pub mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::sync::lock;

    /// A clock that advances only by waits, which take no time.
    #[derive(Default)]
    pub struct TestClock {
        state: Mutex<(Duration, Vec<Duration>)>,
        pub cancelled: AtomicBool,
    }

    impl TestClock {
        /// Returns all waits so far.
        pub fn waits(&self) -> Vec<Duration> {
            lock(&self.state).1.clone()
        }

        /// Lets time pass.
        pub fn advance(&self, span: Duration) {
            lock(&self.state).0 += span;
        }
    }

    impl Clock for TestClock {
        fn now(&self) -> Duration {
            lock(&self.state).0
        }

        fn wait(&self, span: Duration) -> bool {
            if self.cancelled.load(Ordering::Relaxed) {
                return false;
            }
            self.wait_out(span);
            true
        }

        fn wait_out(&self, span: Duration) {
            self.advance(span);
            lock(&self.state).1.push(span);
        }
    }

    #[test]
    fn a_wait_takes_its_time_unless_nobody_wants_it() {
        let clock = SystemClock::new(|| false);
        let began = clock.now();
        assert!(clock.wait(Duration::from_millis(20)));
        assert!(clock.now() - began >= Duration::from_millis(20));
        assert!(!SystemClock::new(|| true).wait(Duration::from_secs(3600)));
    }
}
