//! Signatures of snapshots, tombstones and protections. Spec: `format-spec/08-snapshots.md`.
//!
//! A reader verifies with the public key of the writer; only [`SignKeys`] sign.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::kdf::derive;
use crate::id::RepositoryId;

/// Text before the bytes that a snapshot's signature covers.
const SNAPSHOT_PREFIX: &[u8] = b"drumlin snapshot";
/// Text before the bytes that a tombstone's signature covers.
const TOMBSTONE_PREFIX: &[u8] = b"drumlin tombstone";
/// Text before the bytes that a protection's signature covers.
const PROTECTION_PREFIX: &[u8] = b"drumlin protection";

/// Signs what decides: snapshots and their marks.
pub struct SignKeys {
    signing: SigningKey,
}

impl SignKeys {
    pub(super) fn new(master: &[u8; 32], repository: RepositoryId) -> Self {
        let seed = derive("signing", &[master, &repository.0]);
        Self { signing: SigningKey::from_bytes(&seed) }
    }

    /// Returns the public key of the signatures.
    pub fn public(&self) -> [u8; 32] {
        self.signing.verifying_key().to_bytes()
    }

    /// Signs an encoded snapshot. Spec: `format-spec/08-snapshots.md`.
    pub fn sign_snapshot(&self, encoded: &[u8]) -> [u8; 64] {
        self.sign(SNAPSHOT_PREFIX, encoded)
    }

    /// Signs an encoded tombstone. Spec: `format-spec/08-snapshots.md`, section 5.
    pub fn sign_tombstone(&self, encoded: &[u8]) -> [u8; 64] {
        self.sign(TOMBSTONE_PREFIX, encoded)
    }

    /// Signs an encoded protection. Spec: `format-spec/08-snapshots.md`, section 6.
    pub fn sign_protection(&self, encoded: &[u8]) -> [u8; 64] {
        self.sign(PROTECTION_PREFIX, encoded)
    }

    fn sign(&self, prefix: &[u8], encoded: &[u8]) -> [u8; 64] {
        self.signing.sign(&[prefix, encoded].concat()).to_bytes()
    }
}

/// Returns whether `signature` is `writer`'s over an encoded snapshot.
pub fn verify_snapshot(writer: &[u8; 32], encoded: &[u8], signature: &[u8; 64]) -> bool {
    is_signed(writer, &[SNAPSHOT_PREFIX, encoded].concat(), signature)
}

/// Returns whether `signature` is `writer`'s over an encoded tombstone.
pub fn verify_tombstone(writer: &[u8; 32], encoded: &[u8], signature: &[u8; 64]) -> bool {
    is_signed(writer, &[TOMBSTONE_PREFIX, encoded].concat(), signature)
}

/// Returns whether `signature` is `writer`'s over an encoded protection.
pub fn verify_protection(writer: &[u8; 32], encoded: &[u8], signature: &[u8; 64]) -> bool {
    is_signed(writer, &[PROTECTION_PREFIX, encoded].concat(), signature)
}

/// Returns the 32 bytes by which people compare a repository's keys.
pub fn fingerprint(writer: &[u8; 32], repository: RepositoryId) -> [u8; 32] {
    *derive("fingerprint", &[writer, &repository.0])
}

fn is_signed(writer: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let key = VerifyingKey::from_bytes(writer);
    key.is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}
