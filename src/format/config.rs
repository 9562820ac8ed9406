//! Configuration of a repository, fixed at `init` or changed by a later numbered config.
//!
//! Spec: `format-spec/09-config.md`.

use bincode::{Decode, Encode};

use super::codec::{self, DecodeError};
use super::entry::{Extension, Timestamp, are_readable};
use crate::id::RepositoryId;

/// Profile of chunk sizes: least, average, most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Profile {
    /// 16 KiB, 64 KiB, 256 KiB.
    Small,
    /// 32 KiB, 128 KiB, 512 KiB.
    Standard,
    /// 256 KiB, 1 MiB, 4 MiB.
    Large,
    /// Blocks of 64 KiB at multiples of 64 KiB.
    Fixed,
}

impl Profile {
    /// All profiles with their names on the command line.
    pub const ALL: [(&'static str, Profile); 4] = [
        ("small", Self::Small),
        ("standard", Self::Standard),
        ("large", Self::Large),
        ("fixed", Self::Fixed),
    ];

    /// Returns the name used on the command line.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, profile)| *profile == self).expect("every profile is listed").0
    }
}

/// The content of `config/<n>`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Config {
    /// The repository's name; equal in every header.
    pub repository: RepositoryId,
    /// `n` of `config/<n>`, from 1.
    pub number: u64,
    /// Time of its creation.
    pub created: Timestamp,
    /// Program and version that made it.
    pub program: String,
    /// Chunk sizes.
    pub profile: Profile,
    /// Features without which nothing may be read.
    pub read_critical: u64,
    /// Features without which nothing may be written.
    pub write_critical: u64,
    /// Features without which nothing may be collected.
    pub collect_critical: u64,
    /// Extensions, sorted by tag.
    pub extensions: Vec<Extension>,
}

impl Config {
    /// Returns the encoded config.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Parses a config; refuses features that this version does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let config: Self = codec::decode("config", bytes)?;
        if config.read_critical != 0 || !are_readable(&config.extensions) {
            return Err(DecodeError::new(
                "config",
                "needs a feature that this version does not have",
            ));
        }
        if config.number == 0 || config.created.nanos > 999_999_999 {
            return Err(DecodeError::new("config", "number or time out of range"));
        }
        Ok(config)
    }

    /// Fails if the repository demands a feature for writing that this version does not have.
    pub fn check_writable(&self) -> Result<(), DecodeError> {
        if self.write_critical != 0 {
            return Err(DecodeError::new(
                "config",
                "needs a newer version of the program for writing",
            ));
        }
        Ok(())
    }
}
