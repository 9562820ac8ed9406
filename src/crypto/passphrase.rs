//! Passphrases: Argon2id to a wrapping key.
//!
//! Spec: `format-spec/10-keys.md`.

use argon2::{Algorithm, Argon2, Params, Version};

use super::kdf::Key;
use crate::format::codec::DecodeError;
use zeroize::Zeroizing;

/// Memory in KiB, passes and lanes of a normal slot: RFC 9106's recommendation for small machines.
pub const KDF_STANDARD: (u32, u32, u32) = (64 << 10, 3, 4);
/// Memory in KiB, passes and lanes of a slot with `--kdf strong`.
pub const KDF_STRONG: (u32, u32, u32) = (1 << 20, 3, 4);

/// Derives the wrapping key of a passphrase slot; the parameters were checked by
/// [`crate::format::slot::SlotKdf::check`].
pub fn derive_passphrase_key(
    passphrase: &[u8],
    salt: &[u8; 32],
    memory_kib: u32,
    passes: u32,
    lanes: u32,
) -> Result<Key, DecodeError> {
    let refuse = |_| DecodeError::new("key slot", "key derivation failed: parameters or memory");
    let params = Params::new(memory_kib, passes, lanes, Some(32)).map_err(refuse)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, salt, &mut *key)
        .map_err(refuse)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_cost_what_the_specification_says() {
        assert_eq!((KDF_STANDARD, KDF_STRONG), ((65_536, 3, 4), (1_048_576, 3, 4)));
    }
}
