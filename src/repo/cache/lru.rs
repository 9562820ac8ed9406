//! Map with a limit in bytes that drops the least recently used values.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Values with their lengths; `get` and `insert` cost `O(log n)`.
pub struct ByteLru<K, V> {
    limit_bytes: usize,
    used_bytes: usize,
    tick: u64,
    values: HashMap<K, (V, usize, u64)>,
    order: BTreeMap<u64, K>,
}

impl<K: Hash + Eq + Clone, V: Clone> ByteLru<K, V> {
    /// Makes an empty map that keeps at most `limit_bytes`, or a single value that is larger.
    pub fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, used_bytes: 0, tick: 0, values: HashMap::new(), order: BTreeMap::new() }
    }

    /// Returns a value and marks it as just used.
    pub fn get(&mut self, key: &K) -> Option<V> {
        self.tick += 1;
        let (value, _, used) = self.values.get_mut(key)?;
        let key = self.order.remove(used).expect("every value is in the order");
        *used = self.tick;
        self.order.insert(self.tick, key);
        Some(value.clone())
    }

    /// Adds a value of `len_bytes`, and drops old ones to make room.
    pub fn insert(&mut self, key: K, value: V, len_bytes: usize) {
        self.remove(&key);
        while self.used_bytes + len_bytes > self.limit_bytes {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            let (_, len, _) =
                self.values.remove(&oldest).expect("what is in the order has a value");
            self.used_bytes -= len;
        }
        self.tick += 1;
        self.order.insert(self.tick, key.clone());
        self.values.insert(key, (value, len_bytes, self.tick));
        self.used_bytes += len_bytes;
    }

    /// Removes a value.
    pub fn remove(&mut self, key: &K) {
        if let Some((_, len, used)) = self.values.remove(key) {
            self.order.remove(&used);
            self.used_bytes -= len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest_and_keeps_its_limit() {
        let mut lru = ByteLru::new(10);
        lru.insert(1, 'a', 4);
        lru.insert(2, 'b', 4);
        assert_eq!(lru.get(&1), Some('a'));
        lru.insert(3, 'c', 4);
        assert_eq!((lru.get(&1), lru.get(&2), lru.get(&3)), (Some('a'), None, Some('c')));
        lru.insert(4, 'd', 40);
        assert_eq!((lru.get(&1), lru.get(&4)), (None, Some('d')));
    }
}
