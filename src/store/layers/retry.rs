//! Layer that retries calls that did not reach the store or got no answer, with growing pauses.
//!
//! Whether a call may be repeated depends on what it may have done: `format-spec/12-store.md`,
//! section 2.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::clock::Clock;
use crate::store::{
    Action, Archive, Class, ErrorKind, Key, Listed, Readiness, Store, StoreError, ThawTier,
};

use crate::sync::lock;

/// Time limits of a [`RetryStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Time after the first failure of a call during which it is repeated; zero disables retries.
    pub total: Duration,
    /// The same before the store has answered once: a wrong address should fail soon.
    pub at_first: Duration,
}

impl RetryPolicy {
    /// Makes the policy of a total time.
    pub fn of_total(total: Duration) -> Self {
        Self { total, at_first: total.min(AT_FIRST) }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::of_total(TOTAL)
    }
}

/// Long enough for a router or a server to be started again.
const TOTAL: Duration = Duration::from_secs(300);
const AT_FIRST: Duration = Duration::from_secs(20);
/// The first pause; each next one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Retries if a remote store cannot read an object: a disk with bad sectors has already tried for
/// long.
const UNREADABLE_MAX: u32 = 1;
/// Minimum time between two reports, because many calls fail at once.
const SILENCE: Duration = Duration::from_secs(60);

/// Called with a failure, and the longest time for which the call will be repeated.
pub type OnRetry = Box<dyn Fn(&StoreError, Duration) + Send + Sync>;

/// Repeats calls to the store that it wraps.
///
/// Pauses are random between half and all of their time, so that many hosts do not retry at the
/// same moment.
pub struct RetryStore {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    policy: RetryPolicy,
    on_retry: OnRetry,
    has_answered: AtomicBool,
    told_at: Mutex<Option<Duration>>,
}

impl RetryStore {
    /// Wraps a store.
    pub fn new(
        inner: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        policy: RetryPolicy,
        on_retry: OnRetry,
    ) -> Self {
        Self {
            inner,
            clock,
            policy,
            on_retry,
            has_answered: AtomicBool::new(false),
            told_at: Mutex::new(None),
        }
    }

    /// Begins a call.
    fn call(&self, action: Action, class: Class) -> Call<'_> {
        Call { store: self, action, class, first_failure: None, unreadable: 0, pause: PAUSE_MIN }
    }

    fn repeat<T>(
        &self,
        action: Action,
        class: Class,
        mut attempt: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut call = self.call(action, class);
        loop {
            match attempt() {
                Err(error) if call.may_repeat(&error) => {}
                result => {
                    self.note(&result);
                    return result;
                }
            }
        }
    }

    /// Records that the store has answered, even if with a refusal.
    fn note<T>(&self, result: &Result<T, StoreError>) {
        if result.as_ref().map_or_else(|error| !is_outage(error.kind), |_| true) {
            self.has_answered.store(true, Ordering::Relaxed);
        }
    }

    fn tell(&self, error: &StoreError, limit: Duration) {
        let now = self.clock.now();
        let mut told_at = lock(&self.told_at);
        if told_at.is_none_or(|told_at| now.saturating_sub(told_at) >= SILENCE) {
            *told_at = Some(now);
            drop(told_at);
            (self.on_retry)(error, limit);
        }
    }

    /// Returns whether an existing object is the one that an earlier attempt made.
    fn is_ours(&self, key: &Key, bytes: &[u8]) -> Result<bool, StoreError> {
        Ok(self.stat(key)? == bytes.len() as u64 && self.read(key)? == bytes)
    }
}

fn is_outage(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unavailable | ErrorKind::Unanswered)
}

/// Returns whether a call with this failure may be repeated.
///
/// A `create` in `snapshots/` that may have been carried out must not be repeated: others may have
/// reacted to it.
fn is_repeatable(kind: ErrorKind, action: Action, class: Class) -> bool {
    match kind {
        ErrorKind::Unavailable => true,
        ErrorKind::Unreadable => matches!(action, Action::Read | Action::Stat),
        ErrorKind::Unanswered => action != Action::Create || class != Class::Snapshots,
        _ => false,
    }
}

/// One call and its repetitions.
struct Call<'s> {
    store: &'s RetryStore,
    action: Action,
    class: Class,
    first_failure: Option<Duration>,
    unreadable: u32,
    pause: Duration,
}

impl Call<'_> {
    /// Waits before the next attempt; returns false if the call must fail.
    fn may_repeat(&mut self, error: &StoreError) -> bool {
        let RetryPolicy { total, at_first } = self.store.policy;
        let limit = if self.store.has_answered.load(Ordering::Relaxed) { total } else { at_first };
        if !is_repeatable(error.kind, self.action, self.class) || limit.is_zero() {
            return false;
        }
        if error.kind == ErrorKind::Unreadable {
            self.unreadable += 1;
            if self.unreadable > UNREADABLE_MAX || self.store.properties().is_local {
                return false;
            }
        }
        let clock = &*self.store.clock;
        let failed_for =
            clock.now().saturating_sub(*self.first_failure.get_or_insert_with(|| clock.now()));
        if failed_for >= limit {
            return false;
        }
        if error.kind != ErrorKind::Unreadable {
            self.store.tell(error, limit);
        }
        let pause = jittered(self.pause).min(limit - failed_for);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        clock.wait(pause)
    }
}

/// Returns between half of a pause and all of it.
fn jittered(pause: Duration) -> Duration {
    // Without randomness all hosts wait equally long, which is acceptable.
    let chance = getrandom::u32().unwrap_or(u32::MAX);
    pause / 2 + (pause / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

impl super::Layer for RetryStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.repeat(Action::List, class, || self.inner.list(class, prefix))
    }

    fn stat(&self, key: &Key) -> Result<u64, StoreError> {
        self.repeat(Action::Stat, key.class, || self.inner.stat(key))
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let before = out.len();
        self.repeat(Action::Read, key.class, || {
            out.truncate(before);
            self.inner.read_into(key, range.clone(), out)
        })
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        self.repeat(Action::Read, key.class, || self.inner.read(key))
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        let mut call = self.call(Action::Create, key.class);
        let mut may_exist = false;
        loop {
            let result = self.inner.create(key, bytes);
            self.note(&result);
            let Err(mut error) = result else {
                return Ok(());
            };
            if error.kind == ErrorKind::Exists {
                return match may_exist.then(|| self.is_ours(key, bytes)) {
                    Some(Ok(true)) => Ok(()),
                    None | Some(Ok(false)) => Err(error),
                    Some(Err(why)) => Err(StoreError {
                        kind: ErrorKind::Unanswered,
                        source: Box::new(why),
                        ..error
                    }),
                };
            }
            may_exist |= error.kind == ErrorKind::Unanswered;
            if !call.may_repeat(&error) {
                if may_exist {
                    // An earlier attempt may have made the object, whatever the last one reports.
                    error.kind = ErrorKind::Unanswered;
                }
                return Err(error);
            }
        }
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.repeat(Action::Remove, key.class, || self.inner.remove(key))
    }

    fn archive(&self) -> Option<&dyn Archive> {
        self.inner.archive().map(|_| self as &dyn Archive)
    }
}

impl RetryStore {
    /// Repeats a call to the archive: all of them are idempotent.
    fn of_archive<T>(
        &self,
        key: &Key,
        ask: impl Fn(&dyn Archive) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let archive = self
            .inner
            .archive()
            .expect("`archive` has asked, and what a store can do does not change");
        self.repeat(Action::Stat, key.class, || ask(archive))
    }
}

impl Archive for RetryStore {
    fn readiness(&self, key: &Key) -> Result<Readiness, StoreError> {
        self.of_archive(key, |archive| archive.readiness(key))
    }

    fn thaw(&self, key: &Key, days: u32, tier: ThawTier) -> Result<(), StoreError> {
        self.of_archive(key, |archive| archive.thaw(key, days, tier))
    }

    fn lock_days(&self) -> Option<u32> {
        self.inner.archive()?.lock_days()
    }

    fn locked_until(&self, key: &Key) -> Result<Option<i64>, StoreError> {
        self.of_archive(key, |archive| archive.locked_until(key))
    }

    fn extend_lock(&self, key: &Key, until_s: i64) -> Result<bool, StoreError> {
        self.of_archive(key, |archive| archive.extend_lock(key, until_s))
    }
}

#[cfg(test)]
mod tests;
