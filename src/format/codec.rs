//! Codec of stored structures: bincode 2, `standard()` configuration, with one encoding per value.
//!
//! Spec: `format-spec/02-codec.md`. The crate is unmaintained; that chapter describes the bytes
//! completely.

use bincode::config::{Configuration, LittleEndian, Varint};
use bincode::{Decode, Encode};

/// Why stored bytes were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what}: {why}")]
pub struct DecodeError {
    /// The structure that was expected.
    pub what: &'static str,
    /// The rule that is broken.
    pub why: &'static str,
}

impl DecodeError {
    /// Builds the error for structure `what`.
    pub const fn new(what: &'static str, why: &'static str) -> Self {
        Self { what, why }
    }

    /// Builds the error for a structure of another version of the format.
    pub const fn another_version(what: &'static str) -> Self {
        Self::new(what, ANOTHER_VERSION)
    }

    /// Returns whether the bytes may be valid for another version of the program.
    pub fn is_another_version(&self) -> bool {
        self.why == ANOTHER_VERSION
    }
}

const ANOTHER_VERSION: &str = "written by another version of the format";

/// Upper bound in bytes of any structure, and so of the memory a hostile length can claim.
const STRUCTURE_LEN_MAX_BYTES: usize = super::limits::STRUCTURE_LEN_MAX_BYTES;

type Limited = Configuration<LittleEndian, Varint, bincode::config::Limit<STRUCTURE_LEN_MAX_BYTES>>;

const CODEC: Limited = bincode::config::standard().with_limit::<STRUCTURE_LEN_MAX_BYTES>();

/// Returns the only encoding of `value`.
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    bincode::encode_to_vec(value, bincode::config::standard())
        .expect("encoding to memory has no way to fail")
}

/// Returns the value whose only encoding is `bytes`.
///
/// Refuses longer-than-needed integers, trailing bytes and structures over the limit, by encoding
/// again and comparing.
pub fn decode<T: Encode + Decode<()>>(what: &'static str, bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.len() > STRUCTURE_LEN_MAX_BYTES {
        return Err(DecodeError::new(what, "longer than the limit"));
    }
    let (value, used) = bincode::decode_from_slice::<T, _>(bytes, CODEC)
        .map_err(|_| DecodeError::new(what, "not a valid encoding"))?;
    if used != bytes.len() {
        return Err(DecodeError::new(what, "bytes after its end"));
    }
    let mut rest = Compare { expected: bytes, equal: true };
    bincode::encode_into_writer(&value, &mut rest, bincode::config::standard())
        .map_err(|_| DecodeError::new(what, "not a valid encoding"))?;
    if !rest.equal || !rest.expected.is_empty() {
        return Err(DecodeError::new(what, "not the shortest encoding"));
    }
    Ok(value)
}

/// Compares what is written with what was expected, so that the canonical check allocates nothing.
struct Compare<'a> {
    expected: &'a [u8],
    equal: bool,
}

impl bincode::enc::write::Writer for Compare<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        match self.expected.split_at_checked(bytes.len()) {
            Some((head, rest)) if head == bytes => self.expected = rest,
            _ => self.equal = false,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_not_the_only_encoding() {
        assert_eq!(decode::<u64>("number", &[5]).unwrap(), 5);
        assert!(decode::<u64>("number", &[251, 5, 0]).is_err());
        assert!(decode::<u64>("number", &[5, 0]).is_err());
        assert!(decode::<Vec<u8>>("bytes", &[253, 0, 0, 0, 0, 0, 0, 0, 16]).is_err());
    }

    /// Reads one byte, and writes so many.
    struct Odd<const WRITTEN: usize>;

    impl<const WRITTEN: usize> Encode for Odd<WRITTEN> {
        fn encode<E: bincode::enc::Encoder>(
            &self,
            encoder: &mut E,
        ) -> Result<(), bincode::error::EncodeError> {
            (0..WRITTEN).try_for_each(|_| 7u8.encode(encoder))
        }
    }

    impl<const WRITTEN: usize> Decode<()> for Odd<WRITTEN> {
        fn decode<D: bincode::de::Decoder<Context = ()>>(
            decoder: &mut D,
        ) -> Result<Self, bincode::error::DecodeError> {
            u8::decode(decoder).map(|_| Self)
        }
    }

    #[test]
    fn what_is_encoded_again_is_neither_shorter_nor_longer() {
        assert!(decode::<Odd<0>>("odd", &[7]).is_err());
        assert!(decode::<Odd<1>>("odd", &[7]).is_ok());
        assert!(decode::<Odd<1>>("odd", &[6]).is_err());
        assert!(decode::<Odd<2>>("odd", &[7]).is_err());
    }

    #[test]
    fn structures_near_the_limit_are_read_and_longer_ones_are_not() {
        let why = |len: usize| {
            let bytes = encode(&vec![1u8; len - 5]);
            assert_eq!(bytes.len(), len);
            decode::<Vec<u8>>("bytes", &bytes).err().map(|error| error.why)
        };
        // The crate counts a length as eight bytes, whatever it takes.
        assert_eq!(why(STRUCTURE_LEN_MAX_BYTES - 8), None);
        assert_eq!(why(STRUCTURE_LEN_MAX_BYTES), Some("not a valid encoding"));
        assert_eq!(why(STRUCTURE_LEN_MAX_BYTES + 1), Some("longer than the limit"));
    }

    #[test]
    fn another_version_is_told_from_other_errors() {
        assert!(DecodeError::another_version("node").is_another_version());
        assert!(!DecodeError::new("node", "bytes after its end").is_another_version());
    }
}
