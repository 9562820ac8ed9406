//! Random bytes for names and salts.

use std::sync::Mutex;

use crate::repo::error::{Error, Result};

use crate::sync::lock;

/// A source of random bytes.
pub(crate) enum Randomness {
    /// The system's generator.
    System,
    /// A sequence from a seed, for simulations.
    Seeded(Mutex<blake3::OutputReader>),
}

impl Randomness {
    /// Returns a source that gives the same bytes for the same seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self::Seeded(Mutex::new(blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof()))
    }

    /// Returns the next 32 bytes.
    pub(crate) fn next_32(&self) -> Result<[u8; 32]> {
        let Self::Seeded(sequence) = self else {
            return system_32();
        };
        let mut bytes = [0; 32];
        lock(sequence).fill(&mut bytes);
        Ok(bytes)
    }
}

/// Returns 32 random bytes of the system.
pub(crate) fn system_32() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(Error::Random)?;
    Ok(bytes)
}
