//! Every kind of failure of every action on every class; objects that are there after all; limits;
//! what is said.

use std::sync::atomic::AtomicU64;

use super::*;
use crate::store::layers::clock::tests::TestClock;
use crate::store::layers::fault::{Effect, Fault, FaultStore};
use crate::store::memory::MemoryStore;

const KINDS: [ErrorKind; 8] = [
    ErrorKind::NotFound,
    ErrorKind::Exists,
    ErrorKind::NotPermitted,
    ErrorKind::Full,
    ErrorKind::Short,
    ErrorKind::Unavailable,
    ErrorKind::Unanswered,
    ErrorKind::Other,
];

/// A store in memory that fails as planned, and its decorator.
struct Bench {
    memory: Arc<MemoryStore>,
    faulty: Arc<FaultStore>,
    clock: Arc<TestClock>,
    told: Arc<AtomicU64>,
    store: RetryStore,
}

impl Bench {
    fn new(faults: Vec<Fault>, policy: RetryPolicy) -> Self {
        let memory = Arc::new(MemoryStore::default());
        let faulty = Arc::new(FaultStore::new(memory.clone(), faults));
        let (clock, told) = (Arc::new(TestClock::default()), Arc::new(AtomicU64::new(0)));
        let counter = told.clone();
        let on_retry: OnRetry = Box::new(move |_, _| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let store = RetryStore::new(faulty.clone(), clock.clone(), policy, on_retry);
        Self { memory, faulty, clock, told, store }
    }

    /// Every one of the first `count` calls of an action fails like this.
    fn failing(action: Action, count: u64, effect: Effect) -> Self {
        let fault =
            |call| Fault { action: Some(action), class: None, call, effect, then_dead: false };
        Self::new((0..count).map(fault).collect(), RetryPolicy::default())
    }

    fn call(&self, action: Action, key: &Key) -> Result<(), StoreError> {
        match action {
            Action::List => self.store.list(key.class, "").map(drop),
            Action::Stat => self.store.stat(key).map(drop),
            Action::Read => self.store.read(key).map(drop),
            Action::Create => self.store.create(key, b"bytes"),
            Action::Remove => self.store.remove(key),
        }
    }
}

fn key(class: Class) -> Key {
    Key::new(class, "name")
}

#[test]
fn what_is_repeated_is_a_matter_of_kind_action_and_class() {
    for (kind, action, class) in KINDS
        .into_iter()
        .flat_map(|kind| Action::ALL.map(|action| (kind, action)))
        .flat_map(|(kind, action)| Class::ALL.map(|class| (kind, action, class)))
    {
        let bench = Bench::failing(action, 1, Effect::Before(kind));
        if action != Action::Create {
            bench.memory.create(&key(class), b"bytes").unwrap();
        }
        let result = bench.call(action, &key(class));
        let repeated = match kind {
            ErrorKind::Unavailable => true,
            ErrorKind::Unanswered => (action, class) != (Action::Create, Class::Snapshots),
            _ => false,
        };
        let case = format!("{kind:?} {action:?} {class:?}");
        assert_eq!(bench.faulty.calls(), if repeated { 2 } else { 1 }, "{case}");
        assert_eq!(bench.clock.waits().len(), usize::from(repeated), "{case}");
        assert_eq!(bench.told.load(Ordering::Relaxed), u64::from(repeated), "{case}");
        assert_eq!(result.err().map(|error| error.kind), (!repeated).then_some(kind), "{case}");
    }
}

/// A server whose disk has a bad sector says the same as one that had a bad moment.
#[test]
fn what_cannot_be_read_is_asked_for_once_more_without_a_word() {
    for (failures, is_read) in [(1, true), (9, false)] {
        let bench = Bench::failing(Action::Read, failures, Effect::Before(ErrorKind::Unreadable));
        bench.memory.create(&key(Class::Data), b"bytes").unwrap();
        let kind = bench.call(Action::Read, &key(Class::Data)).err().map(|error| error.kind);
        assert_eq!(kind, (!is_read).then_some(ErrorKind::Unreadable));
        assert_eq!((bench.faulty.calls(), bench.told.load(Ordering::Relaxed)), (2, 0));
    }
}

#[test]
fn a_create_that_was_carried_out_is_success_everywhere_but_in_snapshots() {
    for class in Class::ALL {
        let bench = Bench::failing(Action::Create, 1, Effect::After(ErrorKind::Unanswered));
        let result = bench.store.create(&key(class), b"bytes");
        assert_eq!(bench.memory.read(&key(class)).unwrap(), b"bytes");
        if class == Class::Snapshots {
            assert_eq!(result.unwrap_err().kind, ErrorKind::Unanswered);
            assert_eq!(bench.faulty.calls(), 1, "neither sent again nor looked at");
        } else {
            result.unwrap();
        }
    }
}

#[test]
fn an_object_of_somebody_else_exists() {
    for other in [&b"other bytes"[..], b"BYTES"] {
        let bench = Bench::failing(Action::Create, 1, Effect::Before(ErrorKind::Unanswered));
        bench.memory.create(&key(Class::Keys), other).unwrap();
        let error = bench.store.create(&key(Class::Keys), b"bytes").unwrap_err();
        assert_eq!((error.kind, error.action), (ErrorKind::Exists, "create"));
    }
}

/// Nothing had happened, so this call did not make the object, no matter what bytes it has.
#[test]
fn without_an_earlier_attempt_that_may_have_made_it_exists_stays() {
    for faults in [0, 1] {
        let bench = Bench::failing(Action::Create, faults, Effect::Before(ErrorKind::Unavailable));
        bench.memory.create(&key(Class::Keys), b"bytes").unwrap();
        assert_eq!(
            bench.store.create(&key(Class::Keys), b"bytes").unwrap_err().kind,
            ErrorKind::Exists
        );
        assert_eq!(bench.faulty.calls(), faults + 1, "it is not read");
    }
}

/// The object may exist from the first attempt on, whatever the later ones say.
#[test]
fn doubt_does_not_go_away() {
    for kind in [ErrorKind::Unavailable, ErrorKind::NotPermitted, ErrorKind::Full, ErrorKind::Other]
    {
        let fault = |call, effect| Fault {
            action: Some(Action::Create),
            class: None,
            call,
            effect,
            then_dead: false,
        };
        let later = (1..200).map(|call| fault(call, Effect::Before(kind)));
        let faults =
            std::iter::once(fault(0, Effect::After(ErrorKind::Unanswered))).chain(later).collect();
        let bench = Bench::new(faults, RetryPolicy::default());
        assert_eq!(
            bench.store.create(&key(Class::Data), b"bytes").unwrap_err().kind,
            ErrorKind::Unanswered,
            "{kind:?}"
        );
    }
    // It exists, and cannot be compared.
    let fault = |action, call, effect| Fault {
        action: Some(action),
        class: None,
        call,
        effect,
        then_dead: false,
    };
    let faults = vec![
        fault(Action::Create, 0, Effect::After(ErrorKind::Unanswered)),
        fault(Action::Read, 0, Effect::Before(ErrorKind::NotPermitted)),
    ];
    let error = Bench::new(faults, RetryPolicy::default())
        .store
        .create(&key(Class::Data), b"bytes")
        .unwrap_err();
    assert_eq!((error.kind, error.action), (ErrorKind::Unanswered, "create"));
}

#[test]
fn a_read_that_breaks_off_leaves_nothing_behind() {
    let bench = Bench::failing(Action::Read, 1, Effect::After(ErrorKind::Unanswered));
    bench.memory.create(&key(Class::Data), b"0123456789").unwrap();
    let mut out = b"before ".to_vec();
    bench.store.read_into(&key(Class::Data), 2..5, &mut out).unwrap();
    assert_eq!(out, b"before 234");
}

#[test]
fn pauses_grow_and_end() {
    let bench =
        Bench::failing(Action::Read, u64::from(u16::MAX), Effect::Before(ErrorKind::Unavailable));
    bench.store.list(Class::Data, "").unwrap();
    let error = bench.store.read(&key(Class::Data)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    let waits = bench.clock.waits();
    let mut longest = PAUSE_MIN;
    for wait in &waits[..waits.len() - 1] {
        assert!(*wait >= longest / 2 && *wait <= longest, "{waits:?}");
        longest = (longest * 2).min(PAUSE_MAX);
    }
    assert_eq!(bench.clock.now(), TOTAL, "the last pause ends with the policy");
    // Once a minute at most.
    let told = bench.told.load(Ordering::Relaxed);
    assert!((2..=5).contains(&told), "{told}");
}

#[test]
fn a_store_that_never_answered_is_given_less_time() {
    let patient_for = |policy: RetryPolicy| {
        let fault = |call| Fault {
            action: None,
            class: None,
            call,
            effect: Effect::Before(ErrorKind::Unavailable),
            then_dead: false,
        };
        let bench = Bench::new((0..1000).map(fault).collect(), policy);
        assert!(bench.store.stat(&key(Class::Data)).is_err());
        bench.clock.now()
    };
    assert_eq!(patient_for(RetryPolicy::default()), AT_FIRST);
    assert_eq!(patient_for(RetryPolicy::of_total(Duration::from_secs(3))), Duration::from_secs(3));
    assert_eq!(patient_for(RetryPolicy::of_total(Duration::ZERO)), Duration::ZERO);
}

/// A refusal is an answer.
#[test]
fn a_store_that_refused_has_answered() {
    let bench = Bench::failing(Action::Create, 1000, Effect::Before(ErrorKind::Unavailable));
    assert_eq!(bench.store.stat(&key(Class::Data)).unwrap_err().kind, ErrorKind::NotFound);
    assert!(bench.store.create(&key(Class::Data), b"bytes").is_err());
    assert_eq!(bench.clock.now(), TOTAL);
}

#[test]
fn a_cancelled_operation_does_not_wait() {
    let bench = Bench::failing(Action::List, 1000, Effect::Before(ErrorKind::Unavailable));
    bench.clock.cancelled.store(true, Ordering::Relaxed);
    assert_eq!(bench.store.list(Class::Data, "").unwrap_err().kind, ErrorKind::Unavailable);
    assert_eq!(bench.faulty.calls(), 1);
}
