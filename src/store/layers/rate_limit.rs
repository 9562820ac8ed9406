//! Rate limiter of uploads and downloads, shared by all threads.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::clock::{Clock, SystemClock};

use crate::sync::lock;

/// Longest piece in bytes that a store sends or receives between two calls of [`RateLimiter`], so
/// that a slow line is used evenly.
pub const PIECE_LEN_MAX_BYTES: usize = 32 << 10;

/// Burst after idle time, as time at the line's own speed.
const CREDIT: Duration = Duration::from_millis(100);

/// Limits of both directions, shared by all threads and connections of a store.
///
/// A store moves its objects in pieces of at most [`PIECE_LEN_MAX_BYTES`] and calls
/// [`RateLimiter::upload`] before it sends each, and [`RateLimiter::download`] after it has
/// received each. Code that must not block calls [`RateLimiter::upload_delay`] or
/// [`RateLimiter::download_delay`] and waits by itself.
pub struct RateLimiter {
    clock: Arc<dyn Clock>,
    up: Option<Limit>,
    down: Option<Limit>,
}

/// Limit of one direction, and the time at which all admitted bytes have passed at that speed.
struct Limit {
    bytes_per_s: u64,
    free_at: Mutex<Duration>,
}

impl RateLimiter {
    /// Limits each direction to this many bytes per second; `None` is no limit. Zero counts as one.
    pub fn new(
        clock: Arc<dyn Clock>,
        up_bytes_per_s: Option<u64>,
        down_bytes_per_s: Option<u64>,
    ) -> Self {
        let limit =
            |bytes_per_s: u64| Limit { bytes_per_s: bytes_per_s.max(1), free_at: Mutex::default() };
        Self { clock, up: up_bytes_per_s.map(limit), down: down_bytes_per_s.map(limit) }
    }

    /// Makes a limiter that never waits.
    pub fn unlimited() -> Self {
        Self::new(Arc::new(SystemClock::new(|| false)), None, None)
    }

    /// Returns whether nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        self.up.is_none() && self.down.is_none()
    }

    /// Waits until a piece may be sent. A cancelled operation waits, too: what it still sends must
    /// not take the line from others.
    pub fn upload(&self, len_bytes: usize) {
        self.clock.wait_out(self.upload_delay(len_bytes));
    }

    /// Waits until the line is free again after a piece that was received. A cancelled operation
    /// does not wait, so that it ends quickly.
    pub fn download(&self, len_bytes: usize) {
        self.clock.wait(self.download_delay(len_bytes));
    }

    /// Admits a piece to be sent; returns how long to wait before.
    pub fn upload_delay(&self, len_bytes: usize) -> Duration {
        self.up.as_ref().map_or(Duration::ZERO, |limit| limit.take(self.clock.now(), len_bytes))
    }

    /// Admits a received piece; returns how long to wait before the next one is requested.
    pub fn download_delay(&self, len_bytes: usize) -> Duration {
        self.down.as_ref().map_or(Duration::ZERO, |limit| limit.take(self.clock.now(), len_bytes))
    }
}

impl Limit {
    fn take(&self, now: Duration, len_bytes: usize) -> Duration {
        let mut free_at = lock(&self.free_at);
        let start = (*free_at).max(now.saturating_sub(CREDIT));
        // Pieces are short, so this is exact to a nanosecond and cannot overflow.
        let nanos = len_bytes as u128 * 1_000_000_000 / u128::from(self.bytes_per_s);
        *free_at = start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 4));
        start.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::layers::clock::tests::TestClock;

    fn rate_limiter(up: Option<u64>, down: Option<u64>) -> (Arc<TestClock>, RateLimiter) {
        let clock = Arc::new(TestClock::default());
        (clock.clone(), RateLimiter::new(clock, up, down))
    }

    #[test]
    fn a_long_transfer_goes_at_the_limit() {
        let (clock, rate_limiter) = rate_limiter(Some(1 << 20), None);
        for _ in 0..28 * 32 {
            rate_limiter.upload(PIECE_LEN_MAX_BYTES);
        }
        let took = clock.now();
        assert!(took > Duration::from_secs(27) && took <= Duration::from_secs(28), "{took:?}");
        // No part of it went quicker: each wait is that of one piece.
        assert!(clock.waits().iter().all(|wait| *wait <= Duration::from_millis(32)));
    }

    #[test]
    fn a_cancelled_operation_sends_at_the_limit_too() {
        let (clock, rate_limiter) = rate_limiter(Some(1000), Some(1000));
        clock.cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
        rate_limiter.download(5000);
        rate_limiter.download(5000);
        assert!(clock.now().is_zero());
        rate_limiter.upload(5000);
        rate_limiter.upload(1);
        assert!(clock.now() >= Duration::from_millis(4900), "{:?}", clock.now());
    }

    #[test]
    fn directions_do_not_wait_for_each_other_and_rest_earns_little() {
        let (clock, rate_limiter) = rate_limiter(Some(1000), Some(1000));
        rate_limiter.upload(5000);
        rate_limiter.download(100);
        assert!(clock.now().is_zero(), "nothing was sent before the first piece");
        rate_limiter.upload(1);
        assert!(clock.now() >= Duration::from_millis(4900), "{:?}", clock.now());
        clock.advance(Duration::from_secs(3600));
        let before = clock.now();
        rate_limiter.download(1000);
        rate_limiter.download(1000);
        rate_limiter.download(1);
        assert!(clock.now() - before >= Duration::from_millis(1900 - 100));
    }

    #[test]
    fn threads_share_one_limit() {
        let (clock, rate_limiter) = rate_limiter(None, Some(1000));
        let delays: Vec<Duration> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| rate_limiter.download_delay(1000))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        // The clock stands still: each waits for those that were before it.
        assert!(delays.iter().max().unwrap() >= &Duration::from_millis(2900), "{delays:?}");
        assert_eq!(clock.now(), Duration::ZERO);
    }

    #[test]
    fn without_limits_nobody_waits() {
        let (clock, rate_limiter) = rate_limiter(None, None);
        assert!(rate_limiter.is_unlimited() && RateLimiter::unlimited().is_unlimited());
        rate_limiter.upload(1 << 30);
        rate_limiter.download(1 << 30);
        assert!(clock.waits().iter().all(Duration::is_zero));
    }

    #[test]
    fn absurd_limits_do_not_overflow() {
        let (_, rate_limiter) = rate_limiter(Some(0), Some(u64::MAX));
        for _ in 0..3 {
            rate_limiter.upload_delay(usize::MAX);
            rate_limiter.download_delay(usize::MAX);
        }
    }
}
