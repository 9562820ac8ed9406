//! Identifiers: fixed-length byte strings, one type each, written as lower-case hex.

use std::fmt;

use bincode::{Decode, Encode};

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $len:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Bytes of this kind of identifier.
            pub const LEN_BYTES: usize = $len;

            /// Parses exactly `2 * LEN_BYTES` lower-case hex digits; `None` for anything else.
            pub fn from_hex(text: &str) -> Option<Self> {
                let mut bytes = [0; $len];
                decode_hex(text, &mut bytes).then_some(Self(bytes))
            }

            /// Returns all digits in lower-case hex.
            pub fn to_hex(&self) -> String {
                encode_hex(&self.0)
            }

            /// Returns the first eight hex digits, for people.
            pub fn short(&self) -> String {
                encode_hex(&self.0[..4])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }
    };
}

id_type! {
    /// The keyed hash of one chunk's plaintext. Spec: `format-spec/05-ids.md`.
    ChunkId, 32
}
id_type! {
    /// The BLAKE3 hash of a stored object's bytes, which is its name. Spec:
    /// `format-spec/04-container.md`.
    ObjectId, 32
}
id_type! {
    /// A snapshot's random name, never used twice. Spec: `format-spec/08-snapshots.md`.
    SnapshotId, 16
}
id_type! {
    /// A repository's random name, fixed at `init`.
    RepositoryId, 16
}
id_type! {
    /// The name of a key slot: a hash of its salt and kind. Spec: `format-spec/10-keys.md`.
    SlotId, 16
}

impl std::hash::Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Array hashing announces its length first through `write_usize`, which is ignored below.
        let mut head = [0; 8];
        let len = bytes.len().min(8);
        head[..len].copy_from_slice(&bytes[..len]);
        self.0 = u64::from_le_bytes(head);
    }

    fn write_usize(&mut self, _len: usize) {}
}

/// Hashes an identifier by taking its first eight bytes: they already are a keyed hash.
#[derive(Default, Clone, Copy)]
pub struct IdHasher(u64);

/// Builds [`IdHasher`]s.
pub type BuildIdHasher = std::hash::BuildHasherDefault<IdHasher>;

/// A set of chunk ids.
pub type ChunkSet = std::collections::HashSet<ChunkId, BuildIdHasher>;

/// A map from chunk ids.
pub type ChunkMap<V> = std::collections::HashMap<ChunkId, V, BuildIdHasher>;

/// Returns `bytes` in lower-case hex.
pub fn encode_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

/// Fills `out` from lower-case hex of exactly its length; false (and `out` unspecified) for
/// anything else.
pub fn decode_hex(text: &str, out: &mut [u8]) -> bool {
    let digits = text.as_bytes();
    if digits.len() != out.len() * 2 {
        return false;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let (Some(high), Some(low)) = (value(pair[0]), value(pair[1])) else {
            return false;
        };
        *byte = high << 4 | low;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_refuses_the_rest() {
        let id = SnapshotId([0xab; 16]);
        assert_eq!(SnapshotId::from_hex(&id.to_hex()), Some(id));
        assert_eq!(SnapshotId::from_hex(&id.to_hex().to_uppercase()), None);
        assert_eq!(SnapshotId::from_hex("ab"), None);
    }
}
