//! Reading ahead of a pipeline that may be slow.
//!
//! A database server hangs up on a client that does not read for as long as the server's time limit
//! (MariaDB: `net_write_timeout`, 60 s), and a slow upload can take minutes for one pack. So a
//! thread reads ahead: 1 MiB as fast as it can, and beyond that a little at a time, which is enough
//! for the server and fills the 8 MiB of the buffer in 28 minutes only.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::sync::lock;

/// Bytes that are read at once.
const BLOCK_LEN_BYTES: usize = 64 << 10;

/// How far to read ahead, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Bytes that are read ahead as fast as they come.
    pub ahead_bytes: usize,
    /// Most bytes that are read ahead.
    pub most_bytes: usize,
    /// Time between two blocks of 64 KiB beyond `ahead_bytes`.
    pub interval: Duration,
}

impl Pace {
    /// The pace for dumps.
    pub const DUMP: Self =
        Self { ahead_bytes: 1 << 20, most_bytes: 8 << 20, interval: Duration::from_secs(15) };
}

#[derive(Default)]
struct State {
    blocks: VecDeque<Vec<u8>>,
    /// Bytes in `blocks`.
    len: usize,
    /// Bytes of the first block that were taken already.
    taken: usize,
    /// Whether the source has ended, or failed.
    is_ended: bool,
    failure: Option<io::Error>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    /// Waits for a change, at most for `limit`.
    fn wait<'a>(
        &'a self,
        state: std::sync::MutexGuard<'a, State>,
        limit: Duration,
    ) -> std::sync::MutexGuard<'a, State> {
        self.changed.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Reads a source in a thread of its own.
pub struct Patient<S> {
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<S>>,
}

impl<S: Read + Send + 'static> Patient<S> {
    /// Starts to read `source`. Setting `stop` must make a read of it fail soon.
    pub fn new(source: S, stop: Arc<AtomicBool>, pace: Pace) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (of_thread, stopped) = (shared.clone(), stop.clone());
        let run = move || read_ahead(source, &of_thread, &stopped, pace);
        let thread = std::thread::Builder::new().name("dump".to_owned()).spawn(run)?;
        Ok(Self { shared, stop, thread: Some(thread) })
    }

    /// Returns the source after its end, to ask whether it is complete. Before its end this stops
    /// it.
    pub fn into_source(mut self) -> io::Result<S> {
        if !lock(&self.shared.state).is_ended {
            self.stop.store(true, Ordering::Relaxed);
            self.shared.changed.notify_all();
        }
        let thread = self.thread.take().expect("it is taken here and by drop only");
        thread.join().map_err(|_| io::Error::other("the thread that reads the source panicked"))
    }
}

impl<S> Read for Patient<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = lock(&self.shared.state);
        loop {
            if let Some(first) = state.blocks.front() {
                let rest = &first[state.taken..];
                let len = rest.len().min(buffer.len());
                buffer[..len].copy_from_slice(&rest[..len]);
                let is_empty = len == rest.len();
                (state.len, state.taken) = (state.len - len, state.taken + len);
                if is_empty {
                    state.blocks.pop_front();
                    state.taken = 0;
                }
                self.shared.changed.notify_all();
                return Ok(len);
            }
            if let Some(failure) = state.failure.take() {
                return Err(failure);
            }
            if state.is_ended || buffer.is_empty() {
                return Ok(0);
            }
            state = self.shared.wait(state, Duration::from_secs(3600));
        }
    }
}

impl<S> Drop for Patient<S> {
    fn drop(&mut self) {
        // A source that was taken back goes on.
        if let Some(thread) = self.thread.take() {
            self.stop.store(true, Ordering::Relaxed);
            self.shared.changed.notify_all();
            let _ = thread.join();
        }
    }
}

/// Reads the source to its end, and returns it.
fn read_ahead<S: Read>(mut source: S, shared: &Shared, stop: &AtomicBool, pace: Pace) -> S {
    let mut last = Instant::now();
    while wait_for_room(shared, stop, pace, last) {
        let mut block = vec![0; BLOCK_LEN_BYTES];
        let read = source.read(&mut block);
        last = Instant::now();
        let mut state = lock(&shared.state);
        match read {
            Ok(0) => state.is_ended = true,
            Ok(len) => {
                block.truncate(len);
                // Pipes yield 4 KiB at a time, and the limit counts bytes, not room.
                block.shrink_to_fit();
                state.len += len;
                state.blocks.push_back(block);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => (state.is_ended, state.failure) = (true, Some(error)),
        }
        shared.changed.notify_all();
        if state.is_ended {
            return source;
        }
    }
    source
}

/// Waits until another block may be read; false if reading was stopped.
fn wait_for_room(shared: &Shared, stop: &AtomicBool, pace: Pace, last: Instant) -> bool {
    let mut state = lock(&shared.state);
    loop {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        let is_due = state.len < pace.most_bytes && last.elapsed() >= pace.interval;
        if state.len < pace.ahead_bytes || is_due {
            return true;
        }
        state = shared.wait(state, Duration::from_millis(100).min(pace.interval));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// Yields `left` bytes, and counts what was taken.
    struct Counted {
        left: usize,
        taken: Arc<AtomicUsize>,
        fails: bool,
    }

    impl Read for Counted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.left == 0 && self.fails {
                return Err(io::Error::other("broken"));
            }
            let len = buffer.len().min(self.left);
            for (at, byte) in buffer[..len].iter_mut().enumerate() {
                *byte = (self.left - at) as u8;
            }
            self.left -= len;
            self.taken.fetch_add(len, Ordering::Relaxed);
            Ok(len)
        }
    }

    fn patient(len: usize, fails: bool, pace: Pace) -> (Patient<Counted>, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let source = Counted { left: len, taken: taken.clone(), fails };
        (Patient::new(source, Arc::default(), pace).unwrap(), taken)
    }

    fn wait_until(taken: &AtomicUsize, len: usize) {
        let asked = Instant::now();
        while taken.load(Ordering::Relaxed) < len {
            assert!(asked.elapsed() < Duration::from_secs(60), "{taken:?} of {len}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn all_bytes_come_in_order() {
        let (mut patient, _) = patient(3_000_001, false, Pace::DUMP);
        let mut all = Vec::new();
        patient.read_to_end(&mut all).unwrap();
        assert!(all.iter().enumerate().all(|(at, byte)| *byte == (3_000_001 - at) as u8));
        assert_eq!((all.len(), patient.into_source().unwrap().left), (3_000_001, 0));
    }

    #[test]
    fn a_failure_comes_after_what_was_read_before() {
        let (mut patient, _) = patient(70_000, true, Pace::DUMP);
        let mut all = Vec::new();
        assert_eq!(patient.read_to_end(&mut all).unwrap_err().to_string(), "broken");
        assert_eq!(all.len(), 70_000);
    }

    #[test]
    fn a_pipeline_that_waits_is_read_for_a_little_at_a_time() {
        let pace = Pace {
            ahead_bytes: 128 << 10,
            most_bytes: 512 << 10,
            interval: Duration::from_millis(200),
        };
        let begun = Instant::now();
        let (mut patient, taken) = patient(100 << 20, false, pace);
        wait_until(&taken, 512 << 10);
        // Six blocks beyond the first two.
        assert!(begun.elapsed() >= Duration::from_millis(6 * 200), "{:?}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(taken.load(Ordering::Relaxed), 512 << 10, "the buffer has an end");
        let mut buffer = vec![0; 448 << 10];
        patient.read_exact(&mut buffer).unwrap();
        wait_until(&taken, (448 + 128) << 10);
    }

    #[test]
    fn dropping_it_stops_a_source_that_waits() {
        struct Waits(Arc<AtomicBool>);
        impl Read for Waits {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                while !self.0.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(io::Error::other("stopped"))
            }
        }
        let stop = Arc::new(AtomicBool::new(false));
        drop(Patient::new(Waits(stop.clone()), stop, Pace::DUMP).unwrap());
    }
}
