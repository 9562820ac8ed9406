//! Reads of parts of packs that hide from the store where chunks begin and end.
//!
//! The operator of the store sees every range that is read, and the cut points of known content
//! tell something about the secret table that places them (chapter 05). Therefore every read of a
//! part of a pack asks for the whole blocks around it.

use std::ops::{Deref, DerefMut, Range};

use crate::alignment::{PADDING_MAX_BYTES, padding};
use crate::store::{ErrorKind, Key, Store, StoreError};

/// Multiple to which ranges are rounded outwards. At most twice this is read in vain: 1.6 % of a
/// read of 8 MiB.
pub(super) const BLOCK_LEN_BYTES: u64 = 64 << 10;

/// A part of an object, in the memory into which the blocks around it were read.
#[derive(Default)]
pub struct PaddedPart {
    bytes: Vec<u8>,
    range: Range<usize>,
}

impl PaddedPart {
    /// Returns an empty part with memory for `len_bytes` bytes and the blocks around them.
    pub fn with_capacity(len_bytes: usize) -> Self {
        let room = len_bytes + 2 * BLOCK_LEN_BYTES as usize + PADDING_MAX_BYTES;
        Self { bytes: Vec::with_capacity(room), range: 0..0 }
    }

    /// Replaces the part by what `fill` appends; if that fails, the part is empty.
    pub fn fill<E>(&mut self, fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        self.range = 0..0;
        self.bytes.clear();
        let start = padding(self.bytes.as_ptr());
        self.bytes.resize(start, 0);
        fill(&mut self.bytes)?;
        self.range = start..self.bytes.len();
        Ok(())
    }
}

impl Deref for PaddedPart {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.range.clone()]
    }
}

impl DerefMut for PaddedPart {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.range.clone()]
    }
}

/// Replaces `part` by a range of an object of `object` bytes, asking the store for whole blocks in
/// one request.
///
/// If the object is damaged (shorter, or not readable), exactly the range is requested, because it
/// may be intact.
pub(super) fn read(
    store: &dyn Store,
    key: &Key,
    range: Range<u64>,
    object: u64,
    part: &mut PaddedPart,
) -> Result<(), StoreError> {
    let around = blocks_around(&range, object);
    match part.fill(|out| store.read_into(key, around.clone(), out)) {
        Err(error)
            if matches!(error.kind, ErrorKind::Short | ErrorKind::Unreadable)
                && around != range =>
        {
            return part.fill(|out| store.read_into(key, range, out));
        }
        read => read?,
    }
    let before = usize::try_from(range.start - around.start).expect("a block fits in memory");
    let len = usize::try_from(range.end.saturating_sub(range.start))
        .expect("what was read fits in memory");
    part.range.start += before;
    part.range.end = part.range.start + len;
    Ok(())
}

/// Returns the range of whole blocks around a range, up to the end of the object.
fn blocks_around(range: &Range<u64>, object: u64) -> Range<u64> {
    let start = range.start / BLOCK_LEN_BYTES * BLOCK_LEN_BYTES;
    let end = range.end.div_ceil(BLOCK_LEN_BYTES).saturating_mul(BLOCK_LEN_BYTES).min(object);
    // A range beyond the end is not rounded, and fails.
    start..end.max(range.end)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::store::Class;
    use crate::store::layers;
    use crate::store::memory::MemoryStore;

    const LEN: u64 = 300_000;

    /// Records which ranges are requested.
    struct Observer {
        inner: Arc<MemoryStore>,
        ranges: Mutex<Vec<Range<u64>>>,
    }

    impl layers::Layer for Observer {
        fn inner(&self) -> &dyn Store {
            &*self.inner
        }

        fn read_into(
            &self,
            key: &Key,
            range: Range<u64>,
            out: &mut Vec<u8>,
        ) -> Result<(), StoreError> {
            self.ranges.lock().unwrap().push(range.clone());
            self.inner.read_into(key, range, out)
        }

        fn location(&self) -> &str {
            "observer"
        }
    }

    fn observer(len: u64) -> (Observer, Key, Vec<u8>) {
        let bytes: Vec<u8> = (0..len).map(|at| ((at * at) >> 7) as u8).collect();
        let key = Key::new(Class::Data, "ab");
        let inner = Arc::new(MemoryStore::default());
        inner.create(&key, &bytes).unwrap();
        (Observer { inner, ranges: Mutex::default() }, key, bytes)
    }

    /// Goal: for any range, the store sees one request that begins and ends at a block or at the
    /// object's end.
    #[test]
    fn the_store_sees_whole_blocks_only() {
        let (store, key, bytes) = observer(LEN);
        for range in [
            0..1,
            0..LEN,
            1..2,
            65_535..65_536,
            65_535..65_537,
            65_536..131_072,
            128..299_999,
            299_999..LEN,
            70_000..70_000,
        ] {
            let mut part = PaddedPart::default();
            read(&store, &key, 3..9, LEN, &mut part).unwrap();
            store.ranges.lock().unwrap().clear();
            read(&store, &key, range.clone(), LEN, &mut part).unwrap();
            assert!(part[..] == bytes[range.start as usize..range.end as usize], "{range:?}");
            let seen = std::mem::take(&mut *store.ranges.lock().unwrap());
            let [seen] = &seen[..] else { panic!("{range:?}: {seen:?}") };
            assert!(
                seen.start % BLOCK_LEN_BYTES == 0
                    && (seen.end % BLOCK_LEN_BYTES == 0 || seen.end == LEN),
                "{range:?}: {seen:?}"
            );
            assert!(
                seen.end - seen.start < range.end - range.start + 2 * BLOCK_LEN_BYTES,
                "{range:?}: {seen:?}"
            );
        }
    }

    /// Goal: the rest of a truncated object can be read, and ranges beyond it fail as without
    /// rounding.
    #[test]
    fn what_a_short_object_still_has_is_read() {
        let (store, key, bytes) = observer(100_000);
        let mut part = PaddedPart::default();
        read(&store, &key, 70_000..99_000, LEN, &mut part).unwrap();
        assert!(part[..] == bytes[70_000..99_000]);
        for range in [70_000..100_001, 200_000..200_001, LEN - 1..LEN + 1, 5..u64::MAX] {
            assert_eq!(
                read(&store, &key, range.clone(), LEN, &mut part).unwrap_err().kind,
                ErrorKind::Short,
                "{range:?}"
            );
            assert!(part.is_empty());
        }
    }
}
