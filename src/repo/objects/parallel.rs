//! Parallel work on many items, on several threads if the store is remote.

use rayon::prelude::*;

use crate::repo::error::{Error, Result};
use crate::store::Store;

/// Least number of threads for a remote store: the objects are short, so the threads mostly wait
/// for answers.
const WAITING: usize = 32;

/// Most memory for objects that are read at once, in bytes; a single one may be larger.
const AT_ONCE_MAX_BYTES: u64 = 32 << 20;

/// Returns the number of items to work on at once, at least one; `len_of` returns the memory for
/// one in bytes.
pub fn at_once<I>(items: &[I], len_of: impl Fn(&I) -> u64) -> usize {
    let mut len_bytes = 0;
    let fits = items.iter().take_while(|item| {
        // A store may list any length.
        len_bytes = u64::saturating_add(len_bytes, len_of(item));
        len_bytes <= AT_ONCE_MAX_BYTES
    });
    fits.count().max(1)
}

/// Works like [`for_each`], for items that each take `len_of` bytes of memory.
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

/// Works on each item and returns the results in order.
///
/// For a store that is not remote, works on one item after another on this thread; for others, on
/// `StoreProperties::parallelism` or `WAITING` at once, whichever is more. Fails only if threads
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

/// Calls two functions, in parallel if the store is remote.
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
        // A thread that is alone would wait for ever.
        let together = Barrier::new(3);
        for_each(&distant(), &[(); 3], |()| together.wait().is_leader()).unwrap();
        let together = Barrier::new(2);
        both(&distant(), || together.wait().is_leader(), || together.wait().is_leader());
    }
}
