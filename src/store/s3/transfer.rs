//! Concurrency limit, progress and time-out of requests.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_sdk_s3::primitives::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep, timeout_at};

use crate::store::layers::rate_limit::{PIECE_LEN_MAX_BYTES, RateLimiter};
use crate::sync::lock;

/// Bytes per piece of a body: small enough that a slow line shows progress.
const STEP_LEN_BYTES: usize = 128 << 10;
/// Pieces that are queued for the connection.
const STEPS_AHEAD: usize = 2;

/// Semaphore for threads.
pub(super) struct Gate {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A permit of the gate, until it is dropped.
pub(super) struct Pass<'a>(&'a Gate);

impl Gate {
    /// Makes a gate with `places` permits, at least one.
    pub(super) fn new(places: usize) -> Self {
        Self { free: Mutex::new(places), freed: Condvar::new() }
    }

    /// Waits for a permit.
    pub(super) fn enter(&self) -> Pass<'_> {
        let free = lock(&self.free);
        *self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner) -=
            1;
        Pass(self)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *lock(&self.0.free) += 1;
        self.0.freed.notify_one();
    }
}

/// Time of a request's last progress, and whether any of its body was sent.
#[derive(Clone)]
pub(super) struct RequestProgress(Arc<ProgressTimes>);

struct ProgressTimes {
    start: Instant,
    /// Milliseconds after `start`.
    last_ms: AtomicU64,
    has_begun: AtomicBool,
}

/// A request made no progress for too long.
pub(super) struct Stalled;

impl RequestProgress {
    /// Starts to watch a request.
    pub(super) fn new() -> Self {
        let state = ProgressTimes {
            start: Instant::now(),
            last_ms: AtomicU64::new(0),
            has_begun: AtomicBool::new(false),
        };
        Self(Arc::new(state))
    }

    /// Records that bytes were sent or received.
    pub(super) fn note(&self) {
        let ms = u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_ms.store(ms, Ordering::Relaxed);
    }

    /// Extends the deadline, because nothing can move during `delay`.
    pub(super) fn note_until(&self, delay: Duration) {
        let ms = u64::try_from((self.0.start.elapsed() + delay).as_millis()).unwrap_or(u64::MAX);
        self.0.last_ms.fetch_max(ms, Ordering::Relaxed);
    }

    /// Returns whether some of an uploaded body was handed to a connection.
    pub(super) fn has_begun(&self) -> bool {
        self.0.has_begun.load(Ordering::Relaxed)
    }

    fn deadline(&self, timeout: Duration) -> Instant {
        self.0.start + Duration::from_millis(self.0.last_ms.load(Ordering::Relaxed)) + timeout
    }

    /// Waits for a future as long as it makes progress at least every `timeout`; drops it, and with
    /// it its connection, otherwise.
    pub(super) async fn watch<T>(
        &self,
        timeout: Duration,
        future: impl Future<Output = T>,
    ) -> Result<T, Stalled> {
        let mut future = pin!(future);
        loop {
            let deadline = self.deadline(timeout);
            match timeout_at(deadline, future.as_mut()).await {
                Ok(done) => return Ok(done),
                Err(_) if self.deadline(timeout) > deadline => {}
                Err(_) => return Err(Stalled),
            }
        }
    }

    /// Returns a body of this length that records its progress, and the feeder of its bytes.
    pub(super) fn body(
        &self,
        len_bytes: usize,
        rate_limiter: &Arc<RateLimiter>,
    ) -> (SdkBody, Feeder) {
        let (sender, steps) = mpsc::channel(STEPS_AHEAD);
        let step_len =
            if rate_limiter.is_unlimited() { STEP_LEN_BYTES } else { PIECE_LEN_MAX_BYTES };
        let (progress, rate_limiter) = (self.clone(), rate_limiter.clone());
        let body = SdkBody::from_body_1_x(Steps {
            steps,
            next: None,
            rest_len: len_bytes as u64,
            progress,
            rate_limiter,
            wait: None,
        });
        (body, Feeder { steps: sender, step_len })
    }
}

/// Sender of a body's bytes. Only a few pieces are copied at a time: otherwise the packs of all
/// transfers would be in memory twice.
pub(super) struct Feeder {
    steps: mpsc::Sender<Bytes>,
    step_len: usize,
}

impl Feeder {
    /// Feeds the bytes while it waits for the request.
    pub(super) async fn feed_while<T>(self, bytes: &[u8], request: impl Future<Output = T>) -> T {
        let feed = async move {
            for step in bytes.chunks(self.step_len) {
                if self.steps.send(Bytes::copy_from_slice(step)).await.is_err() {
                    // The request has ended, or will notice that its body has.
                    break;
                }
            }
        };
        let (mut feed, mut request, mut is_fed) = (pin!(feed), pin!(request), false);
        poll_fn(move |context| {
            is_fed = is_fed || feed.as_mut().poll(context).is_ready();
            request.as_mut().poll(context)
        })
        .await
    }
}

/// A body that is sent piece by piece.
struct Steps {
    steps: mpsc::Receiver<Bytes>,
    /// The next piece, while it waits for the rate limiter.
    next: Option<Bytes>,
    /// Bytes that were not sent yet.
    rest_len: u64,
    progress: RequestProgress,
    rate_limiter: Arc<RateLimiter>,
    /// Wait for the rate limiter.
    wait: Option<Pin<Box<Sleep>>>,
}

impl Steps {
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.next.is_none() {
            self.next = ready!(self.steps.poll_recv(context));
            let delay = self
                .next
                .as_ref()
                .map_or(Duration::ZERO, |step| self.rate_limiter.upload_delay(step.len()));
            // Waiting for the limit is no stall.
            self.progress.note_until(delay);
            self.wait =
                Some(delay).filter(|delay| !delay.is_zero()).map(|delay| Box::pin(sleep(delay)));
        }
        if let Some(wait) = &mut self.wait {
            ready!(wait.as_mut().poll(context));
        }
        self.wait = None;
        self.progress.note();
        Poll::Ready(self.next.take())
    }
}

impl Body for Steps {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.progress.0.has_begun.store(true, Ordering::Relaxed);
        if self.rest_len == 0 {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(match ready!(self.poll_step(context)) {
            Some(step) => {
                self.rest_len = self.rest_len.saturating_sub(step.len() as u64);
                Ok(Frame::data(step))
            }
            None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the request was cancelled")),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.rest_len == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest_len)
    }
}
