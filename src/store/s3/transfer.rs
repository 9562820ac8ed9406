//! How many requests run at once, and how one that gets nowhere ends.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_sdk_s3::primitives::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep, timeout_at};

use crate::store::pace::{PIECE_LEN_MAX_BYTES, Pace};

/// Bytes that are handed to the connection at once: small enough for a slow line to show progress.
const STEP_LEN_BYTES: usize = 128 << 10;

/// Lets a fixed number of threads in.
pub struct Gate {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A place behind a gate, until it is dropped.
pub struct Pass<'a>(&'a Gate);

impl Gate {
    /// Makes a gate with so many places, of which there must be one at least.
    pub fn new(places: usize) -> Self {
        Self { free: Mutex::new(places), freed: Condvar::new() }
    }

    /// Waits for a place.
    pub fn enter(&self) -> Pass<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        *self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner) -= 1;
        Pass(self)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

/// When a request last got on, and whether any of its body was sent.
#[derive(Clone)]
pub struct Progress(Arc<State>);

struct State {
    start: Instant,
    /// Milliseconds after `start`.
    last_ms: AtomicU64,
    has_begun: AtomicBool,
}

/// A request made no progress for too long.
pub struct Stalled;

impl Progress {
    /// Starts to watch a request.
    pub fn new() -> Self {
        let state = State { start: Instant::now(), last_ms: AtomicU64::new(0), has_begun: AtomicBool::new(false) };
        Self(Arc::new(state))
    }

    /// Says that bytes went out or came in.
    pub fn note(&self) {
        let ms = u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_ms.store(ms, Ordering::Relaxed);
    }

    /// Says that nothing can be expected for so long.
    pub fn note_until(&self, delay: Duration) {
        let ms = u64::try_from((self.0.start.elapsed() + delay).as_millis()).unwrap_or(u64::MAX);
        self.0.last_ms.fetch_max(ms, Ordering::Relaxed);
    }

    /// Returns whether some of an uploaded body was handed to a connection.
    pub fn has_begun(&self) -> bool {
        self.0.has_begun.load(Ordering::Relaxed)
    }

    fn deadline(&self, timeout: Duration) -> Instant {
        self.0.start + Duration::from_millis(self.0.last_ms.load(Ordering::Relaxed)) + timeout
    }

    /// Waits for a future as long as it makes progress at least every `timeout`; drops it, and with it its connection, otherwise.
    pub async fn watch<T>(&self, timeout: Duration, future: impl Future<Output = T>) -> Result<T, Stalled> {
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

    /// Returns a body with these bytes that notes its progress.
    pub fn body(&self, bytes: &[u8], pace: &Arc<Pace>) -> SdkBody {
        let (bytes, progress, pace) = (Bytes::copy_from_slice(bytes), self.clone(), pace.clone());
        // The SDK still sees the bytes in memory, so it can sign them, or add a checksum where one is needed.
        SdkBody::from(bytes.clone()).map_preserve_contents(move |_| {
            let (rest, progress, pace) = (bytes.clone(), progress.clone(), pace.clone());
            SdkBody::from_body_1_x(Steps { rest, progress, pace, wait: None })
        })
    }
}

/// A body that is handed out step by step.
struct Steps {
    rest: Bytes,
    progress: Progress,
    pace: Arc<Pace>,
    /// Until when the next step waits, where there is a limit.
    wait: Option<Pin<Box<Sleep>>>,
}

impl Steps {
    fn next_len(&self) -> usize {
        let len_max = if self.pace.is_unlimited() { STEP_LEN_BYTES } else { PIECE_LEN_MAX_BYTES };
        self.rest.len().min(len_max)
    }
}

impl Body for Steps {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.progress.0.has_begun.store(true, Ordering::Relaxed);
        let len = self.next_len();
        if self.wait.is_none() {
            let delay = self.pace.upload_delay(len);
            // To wait for the limit is not to stand still.
            self.progress.note_until(delay);
            self.wait = Some(delay).filter(|delay| !delay.is_zero()).map(|delay| Box::pin(sleep(delay)));
        }
        if self.wait.as_mut().is_some_and(|wait| wait.as_mut().poll(context).is_pending()) {
            return Poll::Pending;
        }
        self.wait = None;
        self.progress.note();
        let step = self.rest.split_to(len);
        Poll::Ready(if step.is_empty() { None } else { Some(Ok(Frame::data(step))) })
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
