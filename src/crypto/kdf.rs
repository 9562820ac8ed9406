//! Key derivation: BLAKE3's `derive_key` over length-prefixed inputs.
//!
//! Spec: `format-spec/03-primitives.md`.

use zeroize::{Zeroize, Zeroizing};

/// A 32-byte secret, erased when dropped.
pub type Key = Zeroizing<[u8; 32]>;

/// Prefix of every context string.
const CONTEXT_PREFIX: &str = "drumlin v1 ";

/// Derives 32 bytes for `purpose` from `parts`; each part is preceded by its length, so no two
/// lists collide.
pub fn derive(purpose: &str, parts: &[&[u8]]) -> Key {
    let mut key = Zeroizing::new([0; 32]);
    derive_into(purpose, parts, &mut *key);
    key
}

/// Derives any number of bytes for `purpose` from `parts`.
pub fn derive_into(purpose: &str, parts: &[&[u8]], out: &mut [u8]) {
    let mut hasher = blake3::Hasher::new_derive_key(&format!("{CONTEXT_PREFIX}{purpose}"));
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut output = hasher.finalize_xof();
    output.fill(out);
    // Both hold what was derived from, or what follows from it.
    output.zeroize();
    hasher.zeroize();
}
