//! Keys, ids, sealing and signatures: pure functions over bytes; randomness is an argument.
//!
//! Spec: `format-spec/03-primitives.md`.

pub mod container_keys;
pub mod id_keys;
pub mod kdf;
pub mod keyring;
pub mod passphrase;
pub mod phrase;
pub mod seal;
pub mod shares;
pub mod signing;
pub mod slot;
