//! Layer that injects faults, for tests: in the nth call, before or after its effect, half done,
//! short or with a flipped bit.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::store::{Action, Class, ErrorKind, Key, Listed, Store, StoreError};

use crate::sync::lock;

/// Kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The call fails and has done nothing.
    Before(ErrorKind),
    /// The call fails although it has done its work: the answer was lost.
    After(ErrorKind),
    /// A `create` leaves only the first bytes and fails, as on a store that is not atomic; other
    /// calls fail as with `Before(Other)`.
    Torn {
        /// Bytes that are kept.
        len_bytes: usize,
    },
    /// A `read` says that the object ends early; other calls are not touched.
    Short,
    /// A `read` succeeds with one bit flipped; other calls are not touched.
    Flip {
        /// The bit, counted from the first byte of the answer, modulo its length.
        bit: usize,
    },
}

/// One planned fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Only calls of this action count, if set.
    pub action: Option<Action>,
    /// Only calls on this class count, if set.
    pub class: Option<Class>,
    /// Number of the failing call among those that count, from 0.
    pub call: u64,
    /// Kind of fault.
    pub effect: Effect,
    /// Whether all later calls fail, too, as if the process had died.
    pub then_dead: bool,
}

/// Cause of injected failures.
#[derive(Debug, thiserror::Error)]
#[error("a planned fault")]
struct PlannedFault;

/// Fails as planned; forwards all other calls.
pub struct FaultStore {
    inner: Arc<dyn Store>,
    faults: Mutex<Vec<(Fault, u64)>>,
    calls: AtomicU64,
    dead: AtomicBool,
}

impl FaultStore {
    /// Wraps a store with planned faults.
    pub fn new(inner: Arc<dyn Store>, faults: Vec<Fault>) -> Self {
        let faults = Mutex::new(faults.into_iter().map(|fault| (fault, 0)).collect());
        Self { inner, faults, calls: AtomicU64::new(0), dead: AtomicBool::new(false) }
    }

    /// Returns how many calls were made, so that a test can plan a fault at each.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Counts a call and returns its fault, if any.
    fn next(&self, action: Action, class: Class) -> Option<Effect> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.dead.load(Ordering::Relaxed) {
            return Some(Effect::Before(ErrorKind::Other));
        }
        let mut faults = lock(&self.faults);
        let mut hit = None;
        for (fault, seen) in faults.iter_mut() {
            if fault.action.is_none_or(|wanted| wanted == action)
                && fault.class.is_none_or(|wanted| wanted == class)
            {
                if *seen == fault.call {
                    hit = Some(*fault);
                }
                *seen += 1;
            }
        }
        let hit = hit?;
        self.dead.fetch_or(hit.then_dead, Ordering::Relaxed);
        Some(hit.effect)
    }

    fn fail(&self, action: Action, object: impl ToString, kind: ErrorKind) -> StoreError {
        let location = self.inner.location().to_owned();
        StoreError {
            kind,
            action: action.name(),
            location,
            object: object.to_string(),
            source: Box::new(PlannedFault),
        }
    }

    /// Makes a call whose result has no bytes to damage.
    fn call<T>(
        &self,
        effect: Option<Effect>,
        error: impl Fn(ErrorKind) -> StoreError,
        call: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match effect {
            Some(Effect::Before(kind)) => Err(error(kind)),
            Some(Effect::Torn { .. }) => Err(error(ErrorKind::Other)),
            Some(Effect::After(kind)) => call().and_then(|_| Err(error(kind))),
            Some(Effect::Short | Effect::Flip { .. }) | None => call(),
        }
    }

    fn spoil(
        &self,
        effect: Option<Effect>,
        key: &Key,
        answer: &mut [u8],
    ) -> Result<(), StoreError> {
        match effect {
            Some(Effect::Short) => Err(self.fail(Action::Read, key, ErrorKind::Short)),
            Some(Effect::Flip { bit }) if !answer.is_empty() => {
                let bit = bit % (answer.len() * 8);
                answer[bit / 8] ^= 1 << (bit % 8);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl super::Layer for FaultStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let effect = self.next(Action::List, class);
        self.call(
            effect,
            |kind| self.fail(Action::List, class.dir_name(), kind),
            || self.inner.list(class, prefix),
        )
    }

    fn stat(&self, key: &Key) -> Result<u64, StoreError> {
        let effect = self.next(Action::Stat, key.class);
        self.call(effect, |kind| self.fail(Action::Stat, key, kind), || self.inner.stat(key))
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let effect = self.next(Action::Read, key.class);
        let before = out.len();
        self.call(
            effect,
            |kind| self.fail(Action::Read, key, kind),
            || self.inner.read_into(key, range, out),
        )?;
        self.spoil(effect, key, &mut out[before..])
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        let effect = self.next(Action::Read, key.class);
        let mut bytes =
            self.call(effect, |kind| self.fail(Action::Read, key, kind), || self.inner.read(key))?;
        self.spoil(effect, key, &mut bytes)?;
        Ok(bytes)
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        let effect = self.next(Action::Create, key.class);
        if let Some(Effect::Torn { len_bytes }) = effect {
            self.inner.create(key, &bytes[..len_bytes.min(bytes.len())])?;
        }
        self.call(
            effect,
            |kind| self.fail(Action::Create, key, kind),
            || self.inner.create(key, bytes),
        )
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        let effect = self.next(Action::Remove, key.class);
        self.call(effect, |kind| self.fail(Action::Remove, key, kind), || self.inner.remove(key))
    }
}
