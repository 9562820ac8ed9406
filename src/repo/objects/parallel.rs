//! The same work for many things, on several threads where the store answers slowly.

use rayon::prelude::*;

use crate::repo::error::{Error, Result};
use crate::store::Store;

/// How many wait for a slow store at once at least: what is read in this way is short, and most of
/// the time nothing is on its way.
const WAITING: usize = 32;

/// Bytes of objects that are read at once, as they take so much memory; one may be larger.
const AT_ONCE_MAX_BYTES: u64 = 32 << 20;

/// Returns how many of these items are worked on at once, if `len_of` says how many bytes of memory
/// one takes: at least one.
pub fn at_once<I>(items: &[I], len_of: impl Fn(&I) -> u64) -> usize {
    let mut len_bytes = 0;
    let fits = items.iter().take_while(|item| {
        // A store may list any length.
        len_bytes = u64::saturating_add(len_bytes, len_of(item));
        len_bytes <= AT_ONCE_MAX_BYTES
    });
    fits.count().max(1)
}

/// Does the same as [`for_each`] with items of which each takes `len_of` bytes of memory while it
/// is worked on.
pub fn for_each_long<I: Sync, T: Send>(
    store: &dyn Store,
    items: &[I],
    len_of: impl Fn(&I) -> u64,
    work: impl Fn(&I) -> T + Sync,
) -> Result<Vec<T>> {
    let (mut done, mut rest) = (Vec::with_capacity(items.len()), items);
    while !rest.is_empty() {
        let (now, later) = rest.split_at(at_once(rest, &len_of));
        done.extend(for_each(store, now, &work)?);
        rest = later;
    }
    Ok(done)
}

/// Works on each item and returns what comes of them in their order.
///
/// At a store that answers at once the items are taken one after another on this thread; at others
/// as many at once as `StoreProperties::parallelism` says, or `WAITING`. Fails only if threads
/// cannot be started.
pub fn for_each<I: Sync, T: Send>(
    store: &dyn Store,
    items: &[I],
    work: impl Fn(&I) -> T + Sync,
) -> Result<Vec<T>> {
    if !store.properties().is_remote() || items.len() < 2 {
        return Ok(items.iter().map(&work).collect());
    }
    let threads = store.properties().parallelism.max(WAITING).min(items.len());
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|at| format!("read-{at}"))
        .build();
    let pool = pool.map_err(|error| Error::Threads(error.to_string()))?;
    Ok(pool.install(|| items.par_iter().with_max_len(1).map(&work).collect()))
}

/// Does two things, at once where the store answers slowly.
pub fn both<A: Send, B>(
    store: &dyn Store,
    first: impl FnOnce() -> A + Send,
    second: impl FnOnce() -> B,
) -> (A, B) {
    if !store.properties().is_remote() {
        return (first(), second());
    }
    std::thread::scope(|scope| {
        let first = scope.spawn(first);
        let second = second();
        (first.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), second)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};

    use super::*;
    use crate::store::StoreProperties;
    use crate::store::layers::lazy::LazyStore;
    use crate::store::memory::MemoryStore;

    fn distant() -> LazyStore {
        LazyStore::new(
            "far away".to_owned(),
            StoreProperties { parallelism: 3, ..StoreProperties::default() },
            Box::new(|| Ok(Arc::new(MemoryStore::default()))),
        )
    }

    #[test]
    fn what_comes_back_is_in_order() {
        let stores: [Box<dyn Store>; 2] = [Box::new(MemoryStore::default()), Box::new(distant())];
        for store in stores {
            assert_eq!(
                for_each(&*store, &[1, 2, 3, 4, 5], |number| number * number).unwrap(),
                [1, 4, 9, 16, 25]
            );
            assert_eq!(for_each(&*store, &[] as &[u8], |_| ()).unwrap(), []);
            assert_eq!(both(&*store, || 1, || 2), (1, 2));
        }
    }

    #[test]
    fn long_things_are_taken_a_few_at_a_time() {
        let lengths = [AT_ONCE_MAX_BYTES / 2, AT_ONCE_MAX_BYTES / 2, u64::MAX, 1, 2];
        assert_eq!([0, 1, 2, 3].map(|at| at_once(&lengths[at..], |len| *len)), [2, 1, 1, 2]);
        assert_eq!(for_each_long(&distant(), &lengths, |len| *len, |len| *len).unwrap(), lengths);
    }

    #[test]
    fn distant_stores_are_asked_at_once() {
        // Who is alone waits for ever.
        let together = Barrier::new(3);
        for_each(&distant(), &[(); 3], |()| together.wait().is_leader()).unwrap();
        let together = Barrier::new(2);
        both(&distant(), || together.wait().is_leader(), || together.wait().is_leader());
    }
}
