//! Reads around bad sectors of a store's disk.

use crate::repo::error::Result;
use crate::store::{ErrorKind, Key, OBJECT_LEN_MAX_BYTES, Store};

/// Bytes of one read: if it hits a bad sector, all of them are lost.
const PIECE_LEN_BYTES: u64 = 128 << 10;
/// Number of unreadable pieces after which reading stops: each may take a disk many seconds.
const BAD_PIECES_MAX: usize = 64;

/// Replaces `out` by the readable bytes of an object, with zeros in place of the others; returns
/// whether all could be read.
///
/// For an object of which a read failed with [`ErrorKind::Unreadable`]. Stops early if the object
/// is shorter.
pub fn read_around(
    store: &dyn Store,
    key: &Key,
    len_bytes: u64,
    out: &mut Vec<u8>,
) -> Result<bool> {
    out.clear();
    let (mut at, mut bad_pieces) = (0, 0);
    while at < len_bytes && len_bytes <= OBJECT_LEN_MAX_BYTES && bad_pieces < BAD_PIECES_MAX {
        let (here, end) = (out.len(), len_bytes.min(at + PIECE_LEN_BYTES));
        match store.read_into(key, at..end, out) {
            Ok(()) => {}
            Err(error) if error.kind == ErrorKind::Unreadable => {
                bad_pieces += 1;
                out.truncate(here);
                out.resize(here + usize::try_from(end - at).expect("a piece fits in memory"), 0);
            }
            Err(error) if matches!(error.kind, ErrorKind::Short | ErrorKind::NotFound) => {
                out.truncate(here);
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
        at = end;
    }
    Ok(bad_pieces == 0 && at == len_bytes)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::store::layers;
    use crate::store::memory::MemoryStore;
    use crate::store::{Class, StoreError};

    /// A store that cannot read a range of its objects.
    struct WornDisk(MemoryStore, Range<u64>);

    impl layers::Layer for WornDisk {
        fn inner(&self) -> &dyn Store {
            &self.0
        }

        fn read_into(
            &self,
            key: &Key,
            range: Range<u64>,
            out: &mut Vec<u8>,
        ) -> std::result::Result<(), StoreError> {
            if range.start < self.1.end && self.1.start < range.end {
                let (location, object) = (Store::location(self).to_owned(), key.to_string());
                out.push(1);
                let source = "a bad sector".into();
                return Err(StoreError {
                    kind: ErrorKind::Unreadable,
                    action: "read",
                    location,
                    object,
                    source,
                });
            }
            self.0.read_into(key, range, out)
        }
    }

    #[test]
    fn only_the_piece_with_the_bad_sector_is_lost() {
        const PIECE: usize = 128 << 10;
        let (key, bytes) = (Key::new(Class::Data, "aa/b"), vec![7; 3 * PIECE + 10]);
        let store = WornDisk(MemoryStore::default(), PIECE as u64 + 4096..PIECE as u64 + 4608);
        store.create(&key, &bytes).unwrap();
        let mut out = b"before".to_vec();
        assert!(!read_around(&store, &key, bytes.len() as u64, &mut out).unwrap());
        let mut expected = bytes.clone();
        expected[PIECE..2 * PIECE].fill(0);
        assert_eq!(out, expected);
        // An object that is shorter than it should be, and an intact one.
        assert!(!read_around(&store, &key, bytes.len() as u64 + PIECE as u64, &mut out).unwrap());
        assert_eq!(out.len(), 3 * PIECE);
        let store = WornDisk(store.0, 0..0);
        assert!(read_around(&store, &key, bytes.len() as u64, &mut out).unwrap());
        assert_eq!(out, bytes);
    }
}
