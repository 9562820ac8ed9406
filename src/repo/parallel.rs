//! The same work for many things, on several threads where the store answers slowly.

use rayon::prelude::*;

use super::error::{Error, Result};
use crate::store::Store;

/// How many wait for a slow store at once at least: what is read in this way is short, and most of the time nothing is on its way.
const WAITING: usize = 32;

/// Works on each item and returns what comes of them in their order.
///
/// At a store that answers at once the items are taken one after another on this thread; at others as many at once as
/// [`Store::transfers`] says, or [`WAITING`]. Fails only if threads cannot be started.
pub fn for_each<I: Sync, T: Send>(store: &dyn Store, items: &[I], work: impl Fn(&I) -> T + Sync) -> Result<Vec<T>> {
    if store.transfers() < 2 || items.len() < 2 {
        return Ok(items.iter().map(&work).collect());
    }
    let threads = store.transfers().max(WAITING).min(items.len());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|at| format!("read-{at}")).build();
    let pool = pool.map_err(|error| Error::Threads(error.to_string()))?;
    Ok(pool.install(|| items.par_iter().with_max_len(1).map(&work).collect()))
}

/// Does two things, at once where the store answers slowly.
pub fn both<A: Send, B: Send>(store: &dyn Store, first: impl FnOnce() -> A + Send, second: impl FnOnce() -> B) -> (A, B) {
    if store.transfers() < 2 {
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
    use crate::store::lazy::LazyStore;
    use crate::store::memory::MemoryStore;

    fn distant() -> LazyStore {
        LazyStore::new("far away".to_owned(), 3, Box::new(|| Ok(Arc::new(MemoryStore::default()))))
    }

    #[test]
    fn what_comes_back_is_in_order() {
        let stores: [Box<dyn Store>; 2] = [Box::new(MemoryStore::default()), Box::new(distant())];
        for store in stores {
            assert_eq!(for_each(&*store, &[1, 2, 3, 4, 5], |number| number * number).unwrap(), [1, 4, 9, 16, 25]);
            assert_eq!(for_each(&*store, &[] as &[u8], |_| ()).unwrap(), []);
            assert_eq!(both(&*store, || 1, || 2), (1, 2));
        }
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
