//! ChaCha20-Poly1305 with counter nonces under a key that is used for one container only.
//!
//! Spec: `format-spec/03-primitives.md`, section "Sealing".

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Tag};

use super::kdf::Key;
use crate::format::container::TAG_LEN_BYTES;

/// Kind of a sealed part, which is the first byte of its nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Part {
    /// A segment's frame.
    Frame = 1,
    /// A segment's body.
    Segment = 2,
    /// The table of contents.
    Toc = 3,
    /// The trailer.
    Trailer = 4,
    /// A key slot's bundle.
    Bundle = 6,
    /// A key slot's information.
    SlotInfo = 7,
    /// Local state.
    State = 8,
}

/// The sealed bytes are not what was sealed under this key: damage or forgery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("authentication failed: the bytes are damaged or forged")]
pub struct OpenError;

/// Seals and opens the parts of one container.
pub struct Sealer {
    cipher: ChaCha20Poly1305,
    associated_data: Vec<u8>,
}

impl Sealer {
    /// Makes a sealer whose parts are all bound to `associated_data` (the container's whole
    /// header).
    pub fn new(key: &Key, associated_data: &[u8]) -> Self {
        let cipher = ChaCha20Poly1305::new_from_slice(&**key).expect("the key has 32 bytes");
        Self { cipher, associated_data: associated_data.to_vec() }
    }

    /// Encrypts `buffer` but for its last 16 bytes, which receive the tag.
    ///
    /// A pair of part and ordinal must be sealed once only: two with one ordinal would share a
    /// keystream.
    pub fn seal(&self, part: Part, ordinal: u64, buffer: &mut [u8]) {
        let split = buffer.len() - TAG_LEN_BYTES;
        let (plain, tag) = buffer.split_at_mut(split);
        let made = self
            .cipher
            .encrypt_inout_detached(
                &nonce(part, ordinal).into(),
                &self.associated_data,
                plain.into(),
            )
            .expect("lengths are far below the cipher's limit");
        tag.copy_from_slice(&made);
    }

    /// Decrypts `buffer` in place and returns its plaintext, which is all but the last 16 bytes.
    pub fn open<'a>(
        &self,
        part: Part,
        ordinal: u64,
        buffer: &'a mut [u8],
    ) -> Result<&'a mut [u8], OpenError> {
        let split = buffer.len().checked_sub(TAG_LEN_BYTES).ok_or(OpenError)?;
        let (sealed, tag) = buffer.split_at_mut(split);
        let tag = Tag::try_from(&*tag).map_err(|_| OpenError)?;
        self.cipher
            .decrypt_inout_detached(
                &nonce(part, ordinal).into(),
                &self.associated_data,
                (&mut *sealed).into(),
                &tag,
            )
            .map_err(|_| OpenError)?;
        Ok(sealed)
    }
}

fn nonce(part: Part, ordinal: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[0] = part as u8;
    nonce[4..].copy_from_slice(&ordinal.to_le_bytes());
    nonce
}
