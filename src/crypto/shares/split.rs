//! Splitting of a secret into shares.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::cipher::encrypt;
use super::field::{Point, interpolate};
use super::share::{SetParameters, Share};
use crate::crypto::kdf::Key;

/// Most shares of a set.
pub const SHARES_MAX: u8 = 16;

/// Argument at which the polynomials are the shared bytes.
pub(super) const SECRET_AT: u8 = 255;
/// Argument at which the polynomials are a digest of the shared bytes and its key.
pub(super) const DIGEST_AT: u8 = 254;
/// Length in bytes of the digest.
pub(super) const DIGEST_LEN_BYTES: usize = 4;

/// How many shares there are, and how many of them are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    threshold: u8,
    count: u8,
}

/// Why there is no such scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemeError {
    /// Each share would open alone.
    #[error("a share that opens alone is a whole key")]
    Alone,
    /// More shares would be needed than there are.
    #[error("more shares would be needed than there are")]
    TooFew,
    /// There would be more shares than a set can have.
    #[error("a set has at most {SHARES_MAX} shares")]
    TooMany,
}

impl Scheme {
    /// Makes a scheme by which any `threshold` of `count` shares open; 2 ≤ threshold ≤ count ≤ 16.
    pub fn new(threshold: u8, count: u8) -> Result<Self, SchemeError> {
        match (threshold, count) {
            (_, count) if count > SHARES_MAX => Err(SchemeError::TooMany),
            (threshold, count) if threshold > count => Err(SchemeError::TooFew),
            (0 | 1, _) => Err(SchemeError::Alone),
            _ => Ok(Self { threshold, count }),
        }
    }

    /// Returns how many shares are needed.
    pub fn threshold(self) -> u8 {
        self.threshold
    }

    /// Returns how many shares there are.
    pub fn count(self) -> u8 {
        self.count
    }

    /// Returns how many blocks of 32 random bytes [`split`] takes.
    pub fn random_blocks(self) -> usize {
        usize::from(self.threshold) - 1
    }
}

/// Splits a secret.
///
/// `set` is a random number, of which 15 bits are taken. `random` holds as many random blocks as
/// [`Scheme::random_blocks`] says; they must be used for nothing else, and be forgotten.
///
/// Spec: `format-spec/10-keys.md`, section 6.
pub fn split(secret: &Key, scheme: Scheme, set: u16, random: &[[u8; 32]]) -> Vec<Share> {
    assert_eq!(random.len(), scheme.random_blocks(), "randomness for each free point");
    let set = SetParameters {
        id: set & 0x7fff,
        is_extendable: true,
        cost_exponent: 0,
        group_threshold: 1,
        group_count: 1,
    };
    share_out(&encrypt(&**secret, &set, b""), set, scheme, random)
}

/// Shares out bytes that are encrypted.
pub(super) fn share_out(
    shared: &[u8],
    set: SetParameters,
    scheme: Scheme,
    random: &[[u8; 32]],
) -> Vec<Share> {
    let (last, free) = random.split_last().expect("the threshold is at least 2");
    let digest = digest_point(shared, &last[DIGEST_LEN_BYTES..]);
    let mut points = vec![Point { x: SECRET_AT, y: shared }, Point { x: DIGEST_AT, y: &digest }];
    points.extend((0..).zip(free).map(|(x, y)| Point { x, y }));
    let share = |index| Share {
        set,
        group: 0,
        threshold: scheme.threshold,
        index,
        value: interpolate(&points, index),
    };
    (0..scheme.count).map(share).collect()
}

/// Returns the digest of the shared bytes, and its key after it.
pub(super) fn digest_point(shared: &[u8], key: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(shared);
    let digest = mac.finalize().into_bytes();
    let mut point = Zeroizing::new(Vec::with_capacity(DIGEST_LEN_BYTES + key.len()));
    point.extend_from_slice(&digest[..DIGEST_LEN_BYTES]);
    point.extend_from_slice(key);
    point
}
